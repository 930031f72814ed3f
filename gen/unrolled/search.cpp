// The search for an adder graph: outputs = matrix * inputs, from rows of two or three operands.
//
// A definition (an output or a shared node) is a sum of terms +-(node << shift), priced as prices.h
// says. A first pass shares pairs of terms (greedy.h); then large neighbourhoods are searched (ruin
// and recreate, Shaw 1998): a few nodes are dissolved into their users or digits written otherwise,
// and common parts are found anew by aligning definitions with each other (sharing.h). What is worse
// is undone (definitions.h), with a probability that rises with time. At last definitions become rows,
// and it is chosen which of them are made negated (signs.h).

#include "greedy.h"
#include "signs.h"

namespace {

struct Search : Greedy {
  using Greedy::Greedy;

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
    if (most_rounds == 0) return;
    for (;; rounds++) {
      double passed = most_rounds > 0 ? double(rounds - first) / double(most_rounds)
                                      : (clock() - begin) / std::max(1e-9, until - begin);
      if (passed >= 1) break;
      double heat = hot * std::pow(cold / hot, passed);
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
};

}  // namespace

extern "C" {

// Rows as 10 numbers each: count, then node, shift, sign of three operands. Results: node, shift,
// sign per output (node -1 where it is zero). Returns the rows' number, or -1 if they do not fit.
int intarsia_search(int inputs, int outputs, const std::int32_t* matrix, const i64* low, const i64* high, int arity,
                    int limit, int hosting, double seconds, i64 rounds, u64 seed, double hot, double cold, int capacity, std::int32_t* rows,
                    std::int32_t* results, double* statistics) {
  Search s(inputs, outputs, low, high, arity, limit, hosting, seed);
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
  Emitted made = emitted(s);
  if (int(made.rows.size()) > capacity) return -1;
  for (size_t i = 0; i < made.rows.size(); i++) {
    const Row& row = made.rows[i];
    std::int32_t* out = rows + 10 * i;
    out[0] = row.count;
    for (int k = 0; k < row.count; k++) {
      const Term& t = row.operand[k];
      out[1 + 3 * k] = t.node, out[2 + 3 * k] = t.shift, out[3 + 3 * k] = t.sign;
    }
  }
  for (int j = 0; j < outputs; j++) {
    const Term& t = made.results[j];
    results[3 * j] = t.node, results[3 * j + 1] = t.shift, results[3 * j + 2] = t.sign;
  }
  return int(made.rows.size());
}
}
