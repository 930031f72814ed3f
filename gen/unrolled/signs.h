// Definitions as rows, and which rows are made negated.
//
// Whoever reads a row may as well read its negative. But a row whose operands are all negated takes
// another one behind it, and one whose lowest operand is negated pays for what lies below the others.
// Signs are chosen for all rows together, by simulated annealing over single rows.

#pragma once

#include "definitions.h"

namespace {

const int SWEEPS = 200;
const double HEAT = 2;

struct Emitted {
  std::vector<Row> rows;       // operands are numbered inputs first, then rows
  std::vector<Term> results;   // of each output, node -1 where it is zero
};

struct Signs {
  const Prices& prices;
  Emitted& made;
  std::vector<int> sign;                 // of each value, +1 or -1
  std::vector<int> needed;               // bits of each value that are read
  std::vector<std::vector<int>> users;   // rows, per row
  std::vector<std::vector<int>> signs;   // of the outputs that are a row, per row
  std::vector<std::pair<i64, i64>> interval;

  Signs(const Prices& prices, Emitted& made) : prices(prices), made(made) {
    int n = prices.inputs, count = int(made.rows.size());
    sign.assign(n + count, 1), needed.assign(n + count, 0);
    users.resize(count), signs.resize(count);
    measure();
    for (const Term& t : made.results)
      if (t.node >= n) {
        signs[t.node - n].push_back(t.sign);
        needed[t.node] = std::max(needed[t.node], prices.limit - t.shift);
      }
    for (int i = count; i--;) {
      int width = std::min(needed[n + i], bits_of(interval[n + i].first, interval[n + i].second));
      for (int k = 0; k < made.rows[i].count; k++) {
        const Term& t = made.rows[i].operand[k];
        needed[t.node] = std::max(needed[t.node], prices.limit == 64 ? 64 : width - t.shift);
        if (t.node >= n && (users[t.node - n].empty() || users[t.node - n].back() != i)) users[t.node - n].push_back(i);
      }
    }
  }

  void measure() {  // exact intervals, by the coefficients on the inputs
    int n = prices.inputs;
    std::vector<std::vector<i64>> rows;
    for (int i = 0; i < n; i++) interval.push_back({prices.lo[i], prices.hi[i]});
    for (const Row& row : made.rows) {
      std::vector<i64> c(n, 0);
      for (int k = 0; k < row.count; k++) {
        const Term& t = row.operand[k];
        i64 factor = t.sign * (i64(1) << t.shift);
        if (t.node < n) c[t.node] += factor;
        else
          for (int i = 0; i < n; i++) c[i] += factor * rows[t.node - n][i];
      }
      i64 lo = 0, hi = 0;
      for (int i = 0; i < n; i++) {
        lo += c[i] * (c[i] < 0 ? prices.hi[i] : prices.lo[i]);
        hi += c[i] * (c[i] < 0 ? prices.lo[i] : prices.hi[i]);
      }
      interval.push_back({lo, hi});
      rows.push_back(std::move(c));
    }
  }

  std::pair<i64, i64> values(int node) const {
    auto [lo, hi] = interval[node];
    return sign[node] > 0 ? std::make_pair(lo, hi) : std::make_pair(-hi, -lo);
  }

  int width(int node) const {
    auto [lo, hi] = values(node);
    return std::min(needed[node], bits_of(lo, hi));
  }

  bool negated(int row, const Term& t) const {
    // What reaches only the highest bit of a number modulo a power of two is its own negative.
    if (prices.limit < 64 && t.shift == width(prices.inputs + row) - 1) return false;
    return sign[prices.inputs + row] * t.sign * sign[t.node] < 0;
  }

  bool forbidden(int row) const {
    const Row& r = made.rows[row];
    int negatives = 0;
    for (int k = 0; k < r.count; k++) negatives += negated(row, r.operand[k]);
    return negatives == prices.arity;
  }

  // As AdderGraph.luts counts. A chain of two operands of which one is negated starts with a carry of
  // 1, and mappers put an inverter behind its lowest cell.
  int cost(int row) const {
    const Row& r = made.rows[row];
    int wide = width(prices.inputs + row), low = 1 << 20, second = 1 << 20, widest = 0, lowest = 0;
    bool below = false, natural = true, mixed = false;
    for (int k = 0; k < r.count; k++) {
      const Term& t = r.operand[k];
      bool minus = negated(row, t);
      if (t.shift < low) second = low, low = t.shift, below = minus;
      else second = std::min(second, t.shift);
      int bits = width(t.node);
      auto [lo, hi] = values(t.node);
      mixed |= minus;
      natural &= !minus && (lo >= 0 || bits_of(lo, hi) > bits);
      if (bits + t.shift > widest) widest = bits + t.shift;
    }
    int base = below ? low : second;
    int cells = std::max(0, wide - base - (natural && wide > widest + r.count - 2 && wide > base));
    return cells + (forbidden(row) ? wide + 1 : 0) + (prices.arity == 2 && mixed);
  }

  int around(int row) const {  // what depends on a row's sign
    int node = prices.inputs + row, result = cost(row);
    for (int user : users[row]) result += cost(user);
    for (int s : signs[row])
      if (s * sign[node] < 0) return result + width(node) + 1;
    return result;
  }

  void choose(int sweeps, Random& random) {
    for (int i = 0; i < int(made.rows.size()); i++) {  // as each row alone would like to be
      int& s = sign[prices.inputs + i];
      int plain = cost(i);
      s = -1;
      if (cost(i) >= plain) s = 1;
    }
    for (int sweep = 0; sweep <= sweeps; sweep++) {
      double heat = HEAT * (sweeps - sweep) / sweeps;
      for (int i = 0; i < int(made.rows.size()); i++) {
        int& s = sign[prices.inputs + i];
        int before = around(i);
        s = -s;
        int delta = around(i) - before;
        if (delta > 0 && (heat == 0 || random.real() >= std::exp(-delta / heat))) s = -s;
      }
    }
  }

  void apply() {
    int n = prices.inputs;
    std::vector<Row> rows;
    std::vector<int> place(n + made.rows.size());
    for (int i = 0; i < n; i++) place[i] = i;
    for (int i = 0; i < int(made.rows.size()); i++) {
      Row row = made.rows[i];
      bool turned = forbidden(i);
      for (int k = 0; k < row.count; k++) {
        Term& t = row.operand[k];
        t.sign = negated(i, t) != turned ? -1 : 1;
        t.node = place[t.node];
      }
      rows.push_back(row);
      if (turned) rows.push_back({{{n + int(rows.size()) - 1, 0, -1}}, 1});
      place[n + i] = n + int(rows.size()) - 1;
    }
    for (Term& t : made.results)
      if (t.node >= 0) t.sign *= sign[t.node], t.node = place[t.node];
    made.rows = std::move(rows);
  }
};


// Rows of the outputs, in the order of their use.
Emitted emitted(Definitions& s) {
  Emitted made;
  std::vector<Term> found(s.definitions.size());
  std::vector<char> done(s.definitions.size(), 0);
  auto emit = [&](auto&& self, int d) -> Term {
    // Where upper bits are dropped, nothing or one operand may remain of a node.
    Terms terms;
    for (Term t : s.definitions[d].terms) {
      if (t.shift >= s.cap(d)) continue;
      if (t.node >= s.inputs) {
        if (!done[t.node]) found[t.node] = self(self, t.node), done[t.node] = true;
        if (found[t.node].node < 0) continue;
      }
      terms.push_back(t);
    }
    auto outside = [&](const Term& t, int first) -> Term {
      if (t.node < 0) return {first - 1 - t.node, t.shift, t.sign};
      if (t.node < s.inputs) return t;
      const Term& f = found[t.node];
      return {f.node, t.shift + f.shift, t.sign * f.sign};
    };
    std::vector<Row> tree;
    Terms last;
    s.price(terms, s.cap(d), s.is_output(d), &last, &tree);
    if (last.empty()) return {-1, 0, 1};
    int first = s.inputs + int(made.rows.size());
    for (Row& row : tree) {
      for (int k = 0; k < row.count; k++) row.operand[k] = outside(row.operand[k], first);
      made.rows.push_back(row);
    }
    return outside(last[0], first);
  };
  for (int j = 0; j < s.outputs; j++) made.results.push_back(emit(emit, s.inputs + j));
  Signs signs(s, made);
  signs.choose(SWEEPS, s.random);
  signs.apply();
  return made;
}

}  // namespace
