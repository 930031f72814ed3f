// The search for an adder graph: outputs = matrix * inputs, from rows of two or three operands.
//
// A definition (an output or a shared node) is a sum of terms +-(node << shift). Its price is that
// of the cheapest tree of rows found for it. Digits come as canonical signed digits; a first pass
// shares the pair of terms that pays most until none pays (Hartley 1996, with the prices of rows);
// then large neighbourhoods are searched (ruin and recreate, Shaw 1998): a few nodes are dissolved
// into their users or digits written otherwise, and common parts are found anew by aligning
// definitions with each other. What is worse is undone, with a probability that rises with time.

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

struct Item {  // an operand of a row: lowest bit, interval
  int low, top;
  i64 lo, hi;
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

class Search {
 public:
  int inputs, outputs, arity, limit;  // limit: bits that are kept, 64 where all are
  std::vector<i64> lo, hi;            // per node
  std::vector<u64> hash;              // linear in the inputs, so that equal nodes are found
  std::vector<Definition> definitions;  // per node; inputs have none; outputs follow inputs
  std::vector<std::vector<std::pair<int, int>>> uses;  // per node: definition, terms there
  std::unordered_map<u64, int> known;
  std::vector<int> unused;
  i64 total = 0;
  Random random;

  Search(int n, int m, const i64* low, const i64* high, int arity, int limit, u64 seed)
      : inputs(n), outputs(m), arity(arity), limit(limit), random{seed * 2654435761u + 88172645463325252ULL} {
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

  // -- prices ------------------------------------------------------------------------------------

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
    return {t.shift, std::min(limit, bits_of(a, b)), a, b};
  }

  int row(const Item* in, int count, Item& out, int most) const {  // price of one row
    out = {in[0].low, 0, in[0].lo, in[0].hi};
    int second = 1 << 20, widest = in[0].top;
    bool natural = in[0].lo >= 0;
    for (int i = 1; i < count; i++) {
      if (in[i].low < out.low) second = out.low, out.low = in[i].low;
      else second = std::min(second, in[i].low);
      out.lo += in[i].lo, out.hi += in[i].hi;
      widest = std::max(widest, in[i].top);
      natural &= in[i].lo >= 0;
    }
    out.top = std::min(most, bits_of(out.lo, out.hi));
    int carry = natural && out.top > widest + count - 2;
    return std::max(0, out.top - second - carry);
  }

  int price(const Terms& terms, int most, Terms* order = nullptr, std::vector<Row>* rows = nullptr) const {
    static thread_local std::vector<Item> items;
    static thread_local std::vector<Term> names;
    items.clear(), names.clear();
    for (const Term& t : terms) {
      Item one = item(t);
      if (one.low >= most) continue;
      one.top = std::min(one.top, most);
      size_t at = items.size();
      while (at && (items[at - 1].top > one.top || (items[at - 1].top == one.top && items[at - 1].low > one.low))) at--;
      items.insert(items.begin() + at, one);
      if (rows) names.insert(names.begin() + at, t);
    }
    size_t first = 0;
    int sum = 0;
    while (items.size() - first > 1) {
      size_t left = items.size() - first;
      int count = arity == 2 || left % 2 == 0 ? 2 : 3;
      Item result;
      sum += row(&items[first], count, result, most);
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
    if (order) {
      order->clear();
      if (rows && names.size() > first) order->push_back(names[first]);
    }
    return sum;
  }

  // -- changes -----------------------------------------------------------------------------------

  static void add(Terms& terms, Term t) {  // keeps one term per node and shift
    for (size_t i = 0; i < terms.size(); i++)
      if (terms[i].node == t.node && terms[i].shift == t.shift) {
        bool same = terms[i].sign == t.sign;
        terms.erase(terms.begin() + i);
        if (same) t.shift++, add(terms, t);
        return;
      }
    terms.push_back(t);
  }

  struct Undo {
    int node;
    Definition old;
    i64 lo, hi;
    u64 hash;
  };
  std::vector<Undo> journal;
  std::vector<int> stamp;
  int now = 0;

  void save(int d) {
    if (int(stamp.size()) < int(definitions.size())) stamp.resize(definitions.size(), -1);
    if (stamp[d] == now) return;
    stamp[d] = now;
    journal.push_back({d, definitions[d], lo[d], hi[d], hash[d]});
  }

  void use(int node, int d, int delta) {
    auto& list = uses[node];
    for (size_t i = 0; i < list.size(); i++)
      if (list[i].first == d) {
        if (!(list[i].second += delta)) list[i] = list.back(), list.pop_back();
        return;
      }
    list.push_back({d, delta});
  }

  void assign(int d, Terms terms) {
    save(d);
    Definition& def = definitions[d];
    for (const Term& t : def.terms) use(t.node, d, -1);
    for (const Term& t : terms) use(t.node, d, +1);
    Terms old = std::move(def.terms);
    def.terms = std::move(terms);
    reprice(d);
    if (limit < 64) {  // what it reads of its operands may be other bits now
      for (const Term& t : old) reprice(t.node);
      for (const Term& t : definitions[d].terms) reprice(t.node);
    }
  }

  void reprice(int d) {
    if (d < inputs) return;
    int now_price = price(definitions[d].terms, cap(d));
    if (now_price == definitions[d].price) return;
    save(d);
    total += now_price - definitions[d].price;
    definitions[d].price = now_price;
  }

  int create(const Terms& terms) {
    int d;
    if (unused.empty()) {
      d = int(definitions.size());
      definitions.emplace_back(), uses.emplace_back();
      lo.push_back(0), hi.push_back(0), hash.push_back(0);
    } else
      d = unused.back(), unused.pop_back();
    save(d);
    definitions[d] = {{}, 0, true};
    lo[d] = hi[d] = 0, hash[d] = 0;
    for (const Term& t : terms) {
      Item one = item(t);
      lo[d] += one.lo, hi[d] += one.hi;
      hash[d] += (t.sign > 0 ? hash[t.node] : 0 - hash[t.node]) << t.shift;
    }
    known[key(hash[d])] = d;
    assign(d, terms);
    return d;
  }

  void destroy(int d) {
    assign(d, {});
    definitions[d].alive = false;
    auto at = known.find(key(hash[d]));
    if (at != known.end() && at->second == d) known.erase(at);
    unused.push_back(d);
  }

  void rollback() {
    for (auto& u : journal) {  // first take everything away, then put the old back
      Definition& def = definitions[u.node];
      for (const Term& t : def.terms) use(t.node, u.node, -1);
      total -= def.price;
      if (def.alive && !is_output(u.node)) {
        auto at = known.find(key(hash[u.node]));
        if (at != known.end() && at->second == u.node) known.erase(at);
      }
      def = {};
    }
    for (auto& u : journal) {
      Definition& def = definitions[u.node];
      def = u.old;
      lo[u.node] = u.lo, hi[u.node] = u.hi, hash[u.node] = u.hash;
      for (const Term& t : def.terms) use(t.node, u.node, +1);
      total += def.price;
      if (def.alive && !is_output(u.node)) known[key(hash[u.node])] = u.node;
    }
    for (auto& u : journal)
      if (!is_output(u.node)) touched_free.push_back(u.node);
    std::vector<int> rest;
    for (int d : unused)
      if (!definitions[d].alive) rest.push_back(d);
    for (int d : touched_free)
      if (!definitions[d].alive && std::find(rest.begin(), rest.end(), d) == rest.end())
        rest.push_back(d);
    unused = rest;
    touched_free.clear();
    journal.clear();
    now++;
  }
  std::vector<int> touched_free;

  void commit() {
    journal.clear();
    now++;
  }

  void dissolve(int node, std::vector<int>& touched) {
    Terms inner = definitions[node].terms;
    auto users = uses[node];
    for (auto [d, n] : users) {
      Terms result;
      for (const Term& t : definitions[d].terms)
        if (t.node != node) result.push_back(t);
      for (const Term& t : definitions[d].terms)
        if (t.node == node)
          for (const Term& i : inner) add(result, {i.node, i.shift + t.shift, i.sign * t.sign});
      assign(d, result);
      touched.push_back(d);
    }
    destroy(node);
  }

  // -- common parts ------------------------------------------------------------------------------

  static void normalise(Terms& pattern) {
    int least = 1 << 20;
    for (const Term& t : pattern) least = std::min(least, t.shift);
    for (Term& t : pattern) t.shift -= least;
    std::sort(pattern.begin(), pattern.end(), [](const Term& a, const Term& b) {
      return a.shift != b.shift ? a.shift < b.shift : a.node < b.node;
    });
    if (pattern[0].sign < 0)
      for (Term& t : pattern) t.sign = -t.sign;
  }

  struct Place {
    int definition, shift, sign;
    std::vector<int> taken;  // which of its terms
  };

  // Disjoint places of a pattern in all definitions.
  void places(const Terms& pattern, std::vector<Place>& found, int except = -1) const {
    found.clear();
    size_t anchor = 0;
    for (size_t i = 1; i < pattern.size(); i++)
      if (uses[pattern[i].node].size() < uses[pattern[anchor].node].size()) anchor = i;
    static thread_local std::vector<char> taken;
    for (auto [d, n] : uses[pattern[anchor].node]) {
      if (d == except) continue;
      const Terms& terms = definitions[d].terms;
      if (terms.size() < pattern.size()) continue;
      taken.assign(terms.size(), 0);
      for (const Term& a : terms) {
        if (a.node != pattern[anchor].node) continue;
        int shift = a.shift - pattern[anchor].shift, sign = a.sign * pattern[anchor].sign;
        if (shift < 0) continue;
        Place place{d, shift, sign, {}};
        for (const Term& p : pattern) {
          Term wanted{p.node, p.shift + shift, p.sign * sign};
          size_t i = 0;
          while (i < terms.size() && (taken[i] || !(terms[i] == wanted))) i++;
          if (i == terms.size()) break;
          place.taken.push_back(int(i));
        }
        if (place.taken.size() < pattern.size()) continue;
        for (int i : place.taken) taken[i] = 1;
        found.push_back(std::move(place));
      }
    }
  }

  Terms replaced(int d, const std::vector<Place>& found, size_t begin, size_t end, int node) const {
    static thread_local std::vector<char> gone;
    Terms result;
    const Terms& terms = definitions[d].terms;
    gone.assign(terms.size(), 0);
    for (size_t p = begin; p < end; p++)
      for (int i : found[p].taken) gone[i] = 1;
    for (size_t i = 0; i < terms.size(); i++)
      if (!gone[i]) result.push_back(terms[i]);
    for (size_t p = begin; p < end; p++) add(result, {node, found[p].shift, found[p].sign});
    return result;
  }

  bool depends(int a, int b) const {  // whether a is b or is made from it
    if (a == b) return true;
    if (a < inputs) return false;
    for (const Term& t : definitions[a].terms)
      if (depends(t.node, b)) return true;
    return false;
  }

  // What sharing a pattern changes in the total; applies it where that is less than `bound`.
  int share(const Terms& pattern, int bound, bool apply, std::vector<int>* touched = nullptr) {
    static thread_local std::vector<Place> found;
    u64 h = 0;
    for (const Term& t : pattern) h += (t.sign > 0 ? hash[t.node] : 0 - hash[t.node]) << t.shift;
    auto at = known.find(key(h));
    int node = at == known.end() ? -1 : at->second;
    places(pattern, found, node);
    if (node >= 0) {
      found.erase(std::remove_if(found.begin(), found.end(), [&](const Place& p) { return depends(node, p.definition); }), found.end());
    }
    if (found.size() < (node < 0 ? 2u : 1u)) return 1 << 20;
    int sign = node >= 0 && hash[node] != h ? -1 : 1;
    if (sign < 0)
      for (Place& p : found) p.sign = -p.sign;
    int trial = node;
    int delta = 0;
    if (node < 0) {
      // A place holder for the price: the node that would be made.
      trial = int(definitions.size());
      i64 a = 0, b = 0;
      for (const Term& t : pattern) {
        Item one = item(t);
        a += one.lo, b += one.hi;
      }
      lo.push_back(a), hi.push_back(b);
      int least = limit;
      for (const Place& p : found) least = std::min(least, p.shift);
      delta = price(pattern, limit == 64 ? limit : limit - least);
    }
    for (size_t begin = 0, end; begin < found.size(); begin = end) {
      for (end = begin; end < found.size() && found[end].definition == found[begin].definition;) end++;
      int d = found[begin].definition;
      delta += price(replaced(d, found, begin, end, trial), cap(d)) - definitions[d].price;
      if (delta > 4000) break;
    }
    if (node < 0) lo.pop_back(), hi.pop_back();
    if (!apply || delta >= bound) return delta;
    if (node < 0) node = create(pattern);
    std::vector<Place> list = found;
    for (size_t begin = 0, end; begin < list.size(); begin = end) {
      for (end = begin; end < list.size() && list[end].definition == list[begin].definition;) end++;
      int d = list[begin].definition;
      assign(d, replaced(d, list, begin, end, node));
      if (touched) touched->push_back(d);
    }
    if (touched) touched->push_back(node);
    return delta;
  }

  // Patterns that a definition has in common with others or with itself, most terms first.
  std::unordered_map<u64, int> votes;  // its order is part of what makes a search repeatable
  void common(int d, std::vector<Terms>& patterns, size_t most) {
    votes.clear();
    const Terms& terms = definitions[d].terms;
    for (const Term& t : terms)
      for (auto [e, n] : uses[t.node])
        for (const Term& s : definitions[e].terms) {
          if (s.node != t.node) continue;
          if (e == d && s.shift <= t.shift) continue;
          u64 k = u64(e) << 16 | u64(s.shift - t.shift + 64) << 1 | (s.sign != t.sign);
          votes[k]++;
        }
    struct Vote { int weight; u64 key; };
    static thread_local std::vector<Vote> best;
    best.clear();
    for (auto [k, n] : votes)
      if (n > 1) best.push_back({n * 1024 + random.below(1024), k});
    size_t kept = std::min(best.size(), most);
    std::partial_sort(best.begin(), best.begin() + kept, best.end(), [](const Vote& a, const Vote& b) { return a.weight > b.weight; });
    for (size_t i = 0; i < kept; i++) {
      int e = int(best[i].key >> 16), shift = int(best[i].key >> 1 & 127) - 64, sign = best[i].key & 1 ? -1 : 1;
      Terms pattern;
      for (const Term& t : terms)
        for (const Term& s : definitions[e].terms)
          if (s.node == t.node && s.shift == t.shift + shift && s.sign == t.sign * sign) pattern.push_back(t);
      if (pattern.size() < 2) continue;
      normalise(pattern);
      patterns.push_back(pattern);
      if (pattern.size() > 2) {  // a part of it may have more places
        for (int trial = 0; trial < 2; trial++) {
          Terms part = pattern;
          size_t size = 2 + random.below(int(std::min<size_t>(part.size(), 4)) - 1);
          while (part.size() > size) part.erase(part.begin() + random.below(int(part.size())));
          if (part.size() == pattern.size()) continue;
          normalise(part);
          patterns.push_back(part);
        }
      }
    }
  }

  // -- the first pass ----------------------------------------------------------------------------

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
    counts.reserve(1 << 20);
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
        definitions[d].price = price(definitions[d].terms, cap(d));
        total += definitions[d].price;
      }
    commit();
  }

  // -- the second pass ---------------------------------------------------------------------------

  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  double clock() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  void tidy(std::vector<int>& touched) {  // nodes of one use or one term are no nodes
    for (bool again = true; again;) {
      again = false;
      for (size_t i = 0; i < touched.size(); i++) {
        int d = touched[i];
        if (!definitions[d].alive) continue;
        for (const Term& t : Terms(definitions[d].terms)) {
          int n = t.node;
          if (n < inputs || !definitions[n].alive) continue;
          if (definitions[n].terms.size() > 1 && (uses[n].size() > 1 || uses[n][0].second > 1)) continue;
          std::vector<int> more;
          dissolve(n, more);
          touched.insert(touched.end(), more.begin(), more.end());
          again = true;
          break;
        }
        if (!definitions[d].alive || is_output(d)) continue;
        if (uses[d].empty()) {
          for (const Term& t : definitions[d].terms)
            if (t.node >= inputs)
              for (auto [e, n] : uses[t.node]) touched.push_back(e);
          destroy(d);
          again = true;
        } else if (definitions[d].terms.size() < 2 || (uses[d].size() == 1 && uses[d][0].second == 1)) {
          dissolve(d, touched);
          again = true;
        }
      }
    }
    std::sort(touched.begin(), touched.end());
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    touched.erase(std::remove_if(touched.begin(), touched.end(), [&](int d) { return !definitions[d].alive; }), touched.end());
  }

  bool rewrite(int d) {  // other digits for the same number: g + 2g = 4g - g
    Terms terms = definitions[d].terms;
    if (terms.size() < 2) return false;
    for (int trial = 0; trial < 8; trial++) {
      Term a = terms[random.below(int(terms.size()))];
      for (const Term& b : terms) {
        if (b.node != a.node || b.shift == a.shift) continue;
        Terms result = terms;
        auto drop = [&](const Term& t) { result.erase(std::find(result.begin(), result.end(), t)); };
        if (b.shift == a.shift + 1 && b.sign == a.sign) {
          drop(a), drop(b);
          add(result, {a.node, a.shift + 2, a.sign}), add(result, {a.node, a.shift, -a.sign});
        } else if (b.shift == a.shift + 2 && b.sign == -a.sign) {
          drop(a), drop(b);
          add(result, {a.node, a.shift, b.sign}), add(result, {a.node, a.shift + 1, b.sign});
        } else
          continue;
        assign(d, result);
        return true;
      }
    }
    return false;
  }

  i64 rounds = 0;

  void improve(double until, i64 most_rounds, double hot, double cold) {
    std::vector<int> nodes, touched;
    std::vector<Terms> patterns;
    double begin = clock();
    i64 first = rounds;
    double heat = hot;
    if (most_rounds == 0) return;
    for (;; rounds++) {
      if ((rounds & 15) == 0) {
        double passed = most_rounds > 0 ? double(rounds - first) / double(most_rounds)
                                        : (clock() - begin) / std::max(1e-9, until - begin);
        if (passed >= 1) break;
        heat = hot * std::pow(cold / hot, passed);
      }
      i64 before = total;
      touched.clear();
      int ruin = 1 + random.below(3);
      int focus = -1;
      for (int i = 0, tries = 0; i < ruin && tries < 40; tries++) {
        int d = inputs + outputs + random.below(std::max(1, int(definitions.size()) - inputs - outputs));
        if (focus >= 0 && random.below(4)) {  // near what is touched already
          const Terms& terms = definitions[focus].terms;
          if (!terms.empty()) d = terms[random.below(int(terms.size()))].node;
        }
        if (random.below(4) == 0 || int(definitions.size()) == inputs + outputs) {
          int e = focus >= 0 ? focus : inputs + random.below(outputs);
          if (definitions[e].alive && rewrite(e)) touched.push_back(e), i++, focus = e;
          continue;
        }
        if (d < inputs + outputs || d >= int(definitions.size()) || !definitions[d].alive || uses[d].empty()) continue;
        if (uses[d].size() * definitions[d].terms.size() > 24) continue;
        focus = uses[d][random.below(int(uses[d].size()))].first;
        dissolve(d, touched);
        i++;
      }
      if (touched.empty()) continue;
      tidy(touched);
      for (int step = 0; step < 12; step++) {
        patterns.clear();
        std::vector<int> looked = touched;
        while (looked.size() > 6) looked.erase(looked.begin() + random.below(int(looked.size())));
        for (int d : looked)
          if (definitions[d].alive) common(d, patterns, 6);
        int best = 0;
        const Terms* chosen = nullptr;
        for (const Terms& p : patterns) {
          int delta = share(p, 0, false);
          if (delta < best || (delta == best && delta <= 0 && chosen && random.below(2))) best = delta, chosen = &p;
        }
        if (!chosen) break;
        share(Terms(*chosen), 1, true, &touched);
        tidy(touched);
      }
      i64 delta = total - before;
      if (delta <= 0 || random.real() < std::exp(-double(delta) / heat)) commit();
      else rollback();
    }
  }

  // -- the result --------------------------------------------------------------------------------

  void digits(const std::int32_t* matrix) {
    for (int j = 0; j < outputs; j++) {
      Terms terms;
      for (int i = 0; i < inputs; i++) {
        i64 c = matrix[i * outputs + j];
        for (int s = 0; c; s++, c >>= 1)
          if (c & 1) {
            int g = (c & 3) == 3 ? -1 : 1;
            if (s < limit) terms.push_back({i, s, g});
            c -= g;
          }
      }
      assign(inputs + j, terms);
    }
    commit();
  }
};

}  // namespace

extern "C" {

// Rows as 10 numbers each: count, then node, shift, sign of three operands. Results: node, shift,
// sign per output (node -1 where it is zero). Returns the rows' number, or -1 if they do not fit.
int intarsia_search(int inputs, int outputs, const std::int32_t* matrix, const i64* low, const i64* high, int arity,
                    int limit, double seconds, i64 rounds, u64 seed, double hot, double cold, int capacity, std::int32_t* rows,
                    std::int32_t* results, double* statistics) {
  Search s(inputs, outputs, low, high, arity, limit, seed);
  s.digits(matrix);
  statistics[0] = double(s.total);
  s.greedy(seconds);
  statistics[1] = double(s.total), statistics[2] = s.clock();
  std::vector<int> all;
  for (int d = inputs; d < int(s.definitions.size()); d++) all.push_back(d);
  s.tidy(all);
  s.commit();
  statistics[3] = double(s.total);
  s.improve(seconds, rounds, hot, cold);
  statistics[4] = double(s.total), statistics[5] = double(s.rounds);
  // Rows in the order of their use.
  std::vector<int> index(s.definitions.size(), -1);
  std::vector<int> sign(s.definitions.size(), 1), offset(s.definitions.size(), 0);
  std::vector<char> done(s.definitions.size(), 0);
  int made = 0;
  bool fits = true;
  auto emit = [&](auto&& self, int d) -> Term {
    // Where upper bits are dropped, nothing or one operand may remain of a node.
    Terms terms;
    for (Term t : s.definitions[d].terms) {
      if (t.shift >= s.cap(d)) continue;
      if (t.node >= inputs && !done[t.node]) {
        Term r = self(self, t.node);
        done[t.node] = true, index[t.node] = r.node, sign[t.node] = r.sign, offset[t.node] = r.shift;
      }
      if (t.node >= inputs && index[t.node] < 0) continue;
      if (t.node >= inputs) t.shift += offset[t.node];
      terms.push_back(t);
    }
    std::vector<Row> tree;
    Terms last;
    s.price(terms, s.cap(d), &last, &tree);
    if (last.empty()) return {-1, 0, 1};
    // Signs: a row may be made as it is or negated, as its parent likes. A row with three negated
    // operands cannot be built, and one whose lowest operand is negated pays for what lies below
    // the others. choice[i][k] has a bit for each operand that is a row to be made negated.
    struct Signs { int price[2], choice[2]; };
    const int never = 1 << 20;
    std::vector<Signs> signs(tree.size());
    auto fixed = [&](const Term& t) { return t.sign * (t.node < inputs ? 1 : sign[t.node]); };
    for (size_t i = 0; i < tree.size(); i++) {
      const Row& r = tree[i];
      int low = 1 << 20, second = 1 << 20;
      for (int k = 0; k < r.count; k++) {
        if (r.operand[k].shift < low) second = low, low = r.operand[k].shift;
        else second = std::min(second, r.operand[k].shift);
      }
      for (int negated = 0; negated < 2; negated++) {
        signs[i].price[negated] = never, signs[i].choice[negated] = 0;
        for (int mask = 0; mask < 1 << r.count; mask++) {
          int negative = 0, price = 0;
          bool bad = false, below = false;
          for (int k = 0; k < r.count; k++) {
            const Term& t = r.operand[k];
            int bit = mask >> k & 1, s = t.sign;
            if (t.node < 0) {
              price += signs[-1 - t.node].price[bit];
              if (bit) s = -s;
            } else {
              bad |= bit;
              s = fixed(t);
            }
            if (negated) s = -s;
            negative += s < 0;
            below |= s < 0 && t.shift == low;
          }
          if (bad || negative > 2) continue;
          if (below) price += second - low;
          if (price < signs[i].price[negated]) signs[i].price[negated] = price, signs[i].choice[negated] = mask;
        }
      }
    }
    std::vector<int> wanted(tree.size(), 0);
    if (!tree.empty()) {
      const Signs& root = signs.back();
      wanted.back() = s.is_output(d) && root.price[0] < never ? 0 : root.price[1] < root.price[0];
      for (size_t i = tree.size(); i--;)
        for (int k = 0; k < tree[i].count; k++)
          if (tree[i].operand[k].node < 0)
            wanted[-1 - tree[i].operand[k].node] = signs[i].choice[wanted[i]] >> k & 1;
    }
    std::vector<int> place(tree.size());
    auto outside = [&](const Term& t) -> Term {
      if (t.node < 0) return {place[-1 - t.node], t.shift, wanted[-1 - t.node] ? -t.sign : t.sign};
      if (t.node < inputs) return t;
      return {index[t.node], t.shift, fixed(t)};
    };
    for (size_t i = 0; i < tree.size(); i++) {
      if (made >= capacity) { fits = false; break; }
      std::int32_t* out = rows + 10 * made;
      out[0] = tree[i].count;
      for (int k = 0; k < 3; k++) {
        Term t = k < tree[i].count ? outside(tree[i].operand[k]) : Term{0, 0, 0};
        out[1 + 3 * k] = t.node, out[2 + 3 * k] = t.shift, out[3 + 3 * k] = wanted[i] ? -t.sign : t.sign;
      }
      place[i] = inputs + made++;
    }
    return fits ? outside(last[0]) : Term{-1, 0, 1};
  };
  for (int j = 0; j < outputs && fits; j++) {
    Term r = emit(emit, inputs + j);
    results[3 * j] = r.node, results[3 * j + 1] = r.shift, results[3 * j + 2] = r.sign;
  }
  return fits ? made : -1;
}
}
