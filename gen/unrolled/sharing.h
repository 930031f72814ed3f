// Parts that definitions have in common: where they are, and what sharing them saves.

#pragma once

#include "definitions.h"

namespace {

struct Sharing : Definitions {
  using Definitions::Definitions;

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
      delta = price(pattern, limit == 64 ? limit : limit - least, false);
    }
    for (size_t begin = 0, end; begin < found.size(); begin = end) {
      for (end = begin; end < found.size() && found[end].definition == found[begin].definition;) end++;
      int d = found[begin].definition;
      delta += price(replaced(d, found, begin, end, trial), cap(d), is_output(d)) - definitions[d].price;
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
};

}  // namespace
