// Changes of definitions, which can be undone together.

#pragma once

#include "prices.h"

namespace {

struct Definitions : Prices {
  using Prices::Prices;

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
    int now_price = price(definitions[d].terms, cap(d), is_output(d));
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
};

}  // namespace
