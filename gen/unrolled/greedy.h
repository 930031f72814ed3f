// The first pass: from canonical signed digits of outputs and of their differences, share the pair of
// terms that pays most until none pays (Hartley 1996, with the prices of rows).

#pragma once

#include "sharing.h"

namespace {

struct Greedy : Sharing {
  using Sharing::Sharing;

  static constexpr double SHARE = 0.625;  // of an output's digits that its difference from another may have

  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  double clock() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  Terms written(const std::vector<i64>& column) const {  // in canonical signed digits
    Terms terms;
    for (int i = 0; i < inputs; i++) {
      i64 c = column[i];
      for (int s = 0; c; s++, c >>= 1)
        if (c & 1) {
          int g = (c & 3) == 3 ? -1 : 1;
          if (s < limit) terms.push_back({i, s, g});
          c -= g;
        }
    }
    return terms;
  }

  // Outputs by their digits, or where these are much fewer by those of what they differ in from one
  // that is written by its own. Those with the fewest digits left come first.
  void digits(const std::int32_t* matrix) {
    struct Output {
      std::vector<i64> column;
      Terms terms;
      size_t whole = 0;
      int parent = -1, node = -1;
      bool done = false, read = false;
    };
    std::vector<Output> all(outputs);
    for (int j = 0; j < outputs; j++) {
      for (int i = 0; i < inputs; i++) all[j].column.push_back(matrix[i * outputs + j]);
      all[j].terms = written(all[j].column), all[j].whole = all[j].terms.size();
    }
    std::vector<int> order;
    std::vector<i64> rest(inputs);
    for (int n = 0; n < outputs; n++) {
      int next = -1;
      for (int j = 0; j < outputs; j++)
        if (!all[j].done && (next < 0 || all[j].terms.size() < all[next].terms.size())) next = j;
      all[next].done = true;
      order.push_back(next);
      if (all[next].parent >= 0) continue;
      for (Output& one : all)
        for (int sign : {1, -1}) {
          if (one.done) continue;
          for (int i = 0; i < inputs; i++) {
            rest[i] = one.column[i] - sign * all[next].column[i];
            if (limit < 64) rest[i] &= (i64(1) << limit) - 1;
          }
          Terms terms = written(rest);
          terms.push_back({next, 0, sign});
          if (terms.size() >= one.terms.size() || double(terms.size()) >= SHARE * double(one.whole)) continue;
          one.terms = terms, one.parent = next;
        }
    }
    for (const Output& one : all)
      if (one.parent >= 0) all[one.parent].read = true;
    for (int j : order) {
      Output& one = all[j];
      if (one.parent >= 0) one.terms.back().node = all[one.parent].node;
      if (one.read) one.node = create(one.terms), one.terms = {{one.node, 0, 1}};
      assign(inputs + j, one.terms);
    }
    commit();
  }

  struct Candidate {
    double value;
    u64 key;
    bool operator<(const Candidate& o) const { return value < o.value; }
  };

  static u64 pair_key(Term a, Term b) {  // the pattern of two terms, as a number
    if (a.shift > b.shift || (a.shift == b.shift && a.node > b.node)) std::swap(a, b);
    return u64(a.node) << 40 | u64(b.node) << 16 | u64(b.shift - a.shift) << 1 | (a.sign != b.sign);
  }
  static Terms pair_of(u64 k) {
    return {{int(k >> 40), 0, 1}, {int(k >> 16 & 0xFFFFFF), int(k >> 1 & 0x7FFF), k & 1 ? -1 : 1}};
  }

  void greedy(double until) {
    std::unordered_map<u64, int> counts;
    size_t pairs = 0;
    for (int d = inputs; d < int(definitions.size()); d++) pairs += definitions[d].terms.size() * definitions[d].terms.size() / 2;
    counts.reserve(std::min<size_t>(pairs, 1 << 20));
    std::priority_queue<Candidate> heap;
    auto value = [&](u64 k, int n) {
      if (n < 2) return -1.0;
      Item in[2] = {item(pair_of(k)[0]), item(pair_of(k)[1])}, out;
      double p = row(in, 2, out, limit);
      return arity == 3 ? (n * 0.5 - 0.75) * (p + 1) : (n - 1) * p + 0.5 * n;
    };
    auto count = [&](int d, int delta, const Term* one, bool push) {
      const Terms& terms = definitions[d].terms;
      for (const Term& t : terms) {
        if (t.node == one->node && t.shift == one->shift) continue;
        u64 k = pair_key(*one, t);
        int n = counts[k] += delta;
        if (push && n > 1) heap.push({value(k, n), k});
      }
    };
    for (int d = inputs; d < inputs + outputs; d++) {
      const Terms& terms = definitions[d].terms;
      for (size_t i = 0; i < terms.size(); i++)
        for (size_t j = 0; j < i; j++) counts[pair_key(terms[i], terms[j])]++;
    }
    for (auto [k, n] : counts)
      if (n > 1) heap.push({value(k, n) + random.real() * 1e-3, k});
    std::vector<Place> found;
    int steps = 0;
    while (!heap.empty()) {
      if ((++steps & 255) == 0 && clock() > until) break;
      Candidate top = heap.top();
      heap.pop();
      int n = counts[top.key];
      double v = value(top.key, n);
      if (v <= 0) continue;
      if (v < top.value - 2e-3) {
        heap.push({v, top.key});
        continue;
      }
      Terms pattern = pair_of(top.key);
      places(pattern, found);
      if (found.size() < 2 || value(top.key, int(found.size())) <= 0) {
        counts[top.key] = 0;
        continue;
      }
      int node = create(pattern);
      for (const Place& p : std::vector<Place>(found)) {
        int d = p.definition;
        // Terms go one by one, so that counts stay those of what is there.
        Terms terms = definitions[d].terms;
        for (const Term& t : pattern) {
          Term gone{t.node, t.shift + p.shift, t.sign * p.sign};
          count(d, -1, &gone, false);
          Terms& live = definitions[d].terms;
          live.erase(std::find(live.begin(), live.end(), gone));
          use(t.node, d, -1);
        }
        Term fresh{node, p.shift, p.sign};
        count(d, +1, &fresh, true);
        definitions[d].terms.push_back(fresh);
        use(node, d, +1);
      }
      counts[top.key] = 0;
    }
    for (int d = inputs; d < int(definitions.size()); d++)
      if (definitions[d].alive) {
        total -= definitions[d].price;
        definitions[d].price = price(definitions[d].terms, cap(d), is_output(d));
        total += definitions[d].price;
      }
    commit();
  }
};

}  // namespace
