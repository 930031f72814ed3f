// Definitions, and what they cost: the price of a sum is that of the cheapest tree of rows found.

#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <queue>
#include <unordered_map>
#include <vector>

namespace {

using i64 = std::int64_t;
using u64 = std::uint64_t;

struct Term {
  int node;
  int shift;
  int sign;  // +1 or -1
  bool operator==(const Term& o) const {
    return node == o.node && shift == o.shift && sign == o.sign;
  }
};
using Terms = std::vector<Term>;

int bits_of(i64 lo, i64 hi) {  // of a two's complement number, or of a natural one
  if (lo >= 0) return hi ? 64 - __builtin_clzll(u64(hi)) : 0;
  u64 most = std::max(hi < 0 ? u64(0) : u64(hi), u64(~lo));
  return most ? 65 - __builtin_clzll(most) : 1;
}

struct Random {
  u64 state;
  u64 next() {  // xorshift64*
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return state * 0x2545F4914F6CDD1DULL;
  }
  int below(int n) { return int((next() >> 33) % u64(n)); }
  double real() { return double(next() >> 11) / 9007199254740992.0; }
};

struct Item {  // an operand of a row: lowest bit, interval, sign
  int low, top;
  i64 lo, hi;
  int sign;
};

struct Row {
  Term operand[3];
  int count;
};

struct Definition {
  Terms terms;
  int price = 0;
  bool alive = false;
};

struct Prices {
  int inputs, outputs, arity, limit;  // limit: bits that are kept, 64 where all are
  bool hosting;                       // whether rows take operands that reach their last bits only
  std::vector<i64> lo, hi;            // per node
  std::vector<u64> hash;              // linear in the inputs, so that equal nodes are found
  std::vector<Definition> definitions;  // per node; inputs have none; outputs follow inputs
  std::vector<std::vector<std::pair<int, int>>> uses;  // per node: definition, terms there
  std::unordered_map<u64, int> known;
  std::vector<int> unused;
  i64 total = 0;
  Random random;

  Prices(int n, int m, const i64* low, const i64* high, int arity, int limit, bool hosting, u64 seed)
      : inputs(n), outputs(m), arity(arity), limit(limit), hosting(hosting), random{seed * 2654435761u + 88172645463325252ULL} {
    Random names{0x9E3779B97F4A7C15ULL};
    for (int i = 0; i < n + m; i++) {
      lo.push_back(i < n ? low[i] : 0), hi.push_back(i < n ? high[i] : 0);
      hash.push_back(i < n ? names.next() | 1 : 0);
      definitions.emplace_back();
      uses.emplace_back();
      if (i < n) known[key(hash[i])] = i;
      definitions.back().alive = i >= n;
    }
  }

  static u64 key(u64 h) { return std::min(h, 0 - h); }
  bool is_output(int d) const { return d >= inputs && d < inputs + outputs; }

  int cap(int d) const {  // the bits of a definition that any user reads
    if (limit == 64 || is_output(d)) return limit;
    int least = limit;
    for (auto [e, n] : uses[d])
      for (const Term& t : definitions[e].terms)
        if (t.node == d) least = std::min(least, t.shift);
    return limit - (uses[d].empty() ? 0 : least);
  }

  Item item(const Term& t) const {
    i64 a = lo[t.node] * (i64(1) << t.shift), b = hi[t.node] * (i64(1) << t.shift);
    if (t.sign < 0) std::swap(a, b), a = -a, b = -b;
    return {t.shift, std::min(limit, bits_of(a, b)), a, b, t.sign};
  }

  int row(const Item* in, int count, Item& out, int most) const {  // price of one row
    out = {in[0].low, 0, in[0].lo, in[0].hi, in[0].sign};
    int second = 1 << 20, widest = in[0].top;
    int bits = in[0].top - in[0].low;
    bool natural = in[0].lo >= 0;
    for (int i = 1; i < count; i++) {
      // A row is made so that its lowest operand is not negated.
      if (in[i].low < out.low || (in[i].low == out.low && in[i].sign > 0)) out.sign = in[i].sign;
      if (in[i].low < out.low) second = out.low, out.low = in[i].low;
      else second = std::min(second, in[i].low);
      out.lo += in[i].lo, out.hi += in[i].hi;
      widest = std::max(widest, in[i].top);
      bits += in[i].top - in[i].low;
      natural &= in[i].lo >= 0;
    }
    out.top = std::min(most, bits_of(out.lo, out.hi));
    int carry = natural && out.top > widest + count - 2;
    if (arity == 3 && bits <= 6) carry = 0;  // tables, without a carry to be had
    return std::max(0, out.top - second - carry);
  }

  int turned(const Item* in, int count, const Item& out) const {  // what the negative of a row takes more
    int second = 1 << 20, positives = 0;
    for (int i = 0; i < count; i++) {
      positives += in[i].sign > 0;
      if (in[i].low > out.low) second = std::min(second, in[i].low);
    }
    return positives || count < arity ? second - out.low : 1 << 20;
  }

  static void insert(std::vector<Item>& items, std::vector<Term>& names, const Item& one, const Term& name, bool named) {
    size_t at = items.size();
    while (at && (items[at - 1].top > one.top || (items[at - 1].top == one.top && items[at - 1].low > one.low))) at--;
    items.insert(items.begin() + at, one);
    if (named) names.insert(names.begin() + at, name);
  }

  // Four to six bits of the same weight are counted by three tables of six inputs, which mappers make
  // of the rows that add them three by three.
  void counted(std::vector<Item>& items, std::vector<Term>& names, int most, int& sum, std::vector<Row>* rows) const {
    auto bit = [&](const Item& one) { return one.top - one.low == 1; };
    for (size_t first = 0; first < items.size();) {
      size_t end = first;
      while (end < items.size() && end - first < 6 && bit(items[end]) && items[end].low == items[first].low) end++;
      if (end - first < 4) {
        first = std::max(end, first + 1);
        continue;
      }
      Item in[2], total;
      Term made[2];
      int size[2] = {3, int(end - first) - 3};
      for (int half = 0; half < 2; half++) {
        size_t from = first + 3 * half;
        row(&items[from], size[half], in[half], most);
        made[half] = rows ? names[from] : Term{0, 0, 1};
        if (size[half] == 1) in[half] = items[from];
        else if (rows) {
          Row r{{}, size[half]};
          for (int i = 0; i < size[half]; i++) r.operand[i] = names[from + i];
          made[half] = {-1 - int(rows->size()), 0, 1};
          rows->push_back(r);
        }
      }
      row(in, 2, total, most);
      sum += total.top - total.low;
      Term name{0, 0, 1};
      if (rows) {
        name.node = -1 - int(rows->size());
        rows->push_back({{made[0], made[1]}, 2});
      }
      items.erase(items.begin() + first, items.begin() + end);
      if (rows) names.erase(names.begin() + first, names.begin() + end);
      insert(items, names, total, name, rows != nullptr);
    }
  }

  int price(const Terms& terms, int most, bool output, Terms* order = nullptr, std::vector<Row>* rows = nullptr) const {
    static thread_local std::vector<Item> items;
    static thread_local std::vector<Term> names;
    items.clear(), names.clear();
    for (const Term& t : terms) {
      Item one = item(t);
      if (one.low >= most) continue;
      one.top = std::min(one.top, most);
      insert(items, names, one, t, rows != nullptr);
    }
    size_t first = 0;
    int sum = 0, turning = 1 << 20, hosts = 0, spare = 0;
    if (arity == 3) counted(items, names, most, sum, rows);
    while (items.size() - first > 1) {
      size_t left = items.size() - first;
      int count = arity == 2 || left % 2 == 0 ? 2 : 3;
      Item result;
      int cells = row(&items[first], count, result, most), reach = most - items[first + 1].low;
      if (hosting && reach <= 2 && (hosts || (reach == 1 && spare))) {
        // The last two bits of a row take another operand for nothing, or four the last one (hosted.py).
        if (reach == 2) hosts--;
        else if (spare) spare--;
        else hosts--, spare = 3;
      } else {
        sum += cells;
        hosts += result.top == most;
      }
      turning = turned(&items[first], count, result);
      Term name{0, 0, 1};
      if (rows) {
        Row r{{}, count};
        for (int i = 0; i < count; i++) r.operand[i] = names[first + i];
        name.node = -1 - int(rows->size());
        rows->push_back(r);
      }
      first += count;
      size_t at = first;
      while (at < items.size() && items[at].top < result.top) at++;
      // The freed places in front take what is smaller.
      for (size_t i = first; i < at; i++) {
        items[i - 1] = items[i];
        if (rows) names[i - 1] = names[i];
      }
      items[at - 1] = result;
      if (rows) names[at - 1] = name;
      first--;
    }
    if (output && items.size() > first && items[first].sign < 0) sum += std::min(turning, items[first].top);
    if (order) {
      order->clear();
      if (rows && names.size() > first) order->push_back(names[first]);
    }
    return sum;
  }
};

}  // namespace
