"""Tile: the processing elements of one array row and one column group."""

from amaranth import Cat, ClockSignal, Instance, Module, Mux, ResetSignal, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .compare import less
from .config import Config, numbered
from .delay import delayed
from .pair import Pair

__all__ = ["Tile", "sum_levels"]


def sum_levels(depth: int) -> int:
    """Register levels of the adder tree over ``depth`` products, four summands each."""
    levels = 0
    while depth > 1:
        depth, levels = -(-depth // 4), levels + 1
    return levels


class Tile(wiring.Component):
    """``lanes`` output-stationary elements, each with a dot product of ``depth`` products a cycle.

    Activations leave to the right and weights below one cycle after they came, and so does the
    control. Accumulators are double-buffered: ``result`` takes a finished sum while the next one
    begins, and keeps it until the next sum is finished.

    Initiation interval 1. ``result`` shows a sum :meth:`latency` cycles after its last operands.

    Members
    -------
    valid, first, last, maximum : control of this cycle's operands; ``maximum`` takes the larger of
        accumulator and dot product in place of their sum, where each is one activation
    a, b : ``depth`` activations, or as many for each lane where the machine has patterns;
        ``lanes * depth`` weights, element 0 lowest
    valid_o, first_o, last_o, maximum_o, a_o, b_o : the same, a cycle later
    result : ``lanes`` accumulators
    """

    valid: Signal
    first: Signal
    last: Signal
    maximum: Signal
    valid_o: Signal
    first_o: Signal
    last_o: Signal
    maximum_o: Signal
    a: Signal
    b: Signal
    a_o: Signal
    b_o: Signal
    result: Signal

    def __init__(self, config: Config):
        self._config = config
        control = {n: In(1) for n in ("valid", "first", "last", "maximum")}
        super().__init__(
            control
            | {f"{n}_o": Out(1) for n in control}
            | {
                "a": In(self.operand_bits(config)),
                "b": In(config.weight_bits * config.lanes * config.depth),
                "a_o": Out(self.operand_bits(config)),
                "b_o": Out(config.weight_bits * config.lanes * config.depth),
                "result": Out(config.accumulator_bits * config.lanes),
            }
        )

    @staticmethod
    def operand_bits(config: Config) -> int:
        """Width of ``a``."""
        return config.element_bits * config.depth * (config.lanes if config.patterns else 1)

    @staticmethod
    def pairs(config: Config) -> int:
        """How many of the first lanes make their products two lanes at a time."""
        narrow = config.weight_bits == config.element_bits == Pair.BITS
        return config.lanes // 2 * 2 if narrow and not config.patterns else 0

    @classmethod
    def shared(cls, *configs: Config) -> dict[str, wiring.Component]:
        """The tile of each core, and the modules they are made of, by their Verilog names."""
        arrays = {i: config for i, config in enumerate(configs) if not config.product_words}
        modules: dict[str, wiring.Component] = {
            numbered("tile", index): cls(config) for index, config in arrays.items()
        }
        if any(map(cls.pairs, arrays.values())):
            modules["pair"] = Pair()
        return modules

    @staticmethod
    def crossing(config: Config) -> int:
        """Stages before the factors and between products and sums, for multipliers may lie far from
        memories and adders; none where the only adder is the accumulator, which a slice has beside
        its multiplier."""
        return 1 if config.depth > 1 else 0

    @classmethod
    def latency(cls, config: Config) -> int:
        """Cycles from operands at the inputs to their sum in ``result``."""
        return 3 + 2 * cls.crossing(config) + sum_levels(config.depth)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        depth, width = config.depth, config.accumulator_bits
        a = Signal.like(self.a, reset_less=True)
        b = Signal.like(self.b, reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b)]
        m.d.comb += [self.a_o.eq(a), self.b_o.eq(b)]

        # Control keeps pace with the sums: operands, products, their ways, the levels of the tree.
        stages = 2 + 2 * self.crossing(config) + sum_levels(depth)
        control = Cat(self.valid, self.first, self.last, self.maximum)
        # That a sum ends has registers of its own, so that nothing lies before the many that it
        # enables and clears; a reset clears those too.
        ends, clears = Signal(name="ends"), Signal(name="clears", init=1)
        for stage in range(stages):
            if stage == stages - 1:
                m.d.sync += [s.eq(control[0] & control[2]) for s in (ends, clears)]
            later = Signal(4, name=f"control_{stage}")
            m.d.sync += later.eq(control)
            control = later
            if stage == 0:
                m.d.comb += [
                    self.valid_o.eq(later[0]),
                    self.first_o.eq(later[1]),
                    self.last_o.eq(later[2]),
                    self.maximum_o.eq(later[3]),
                ]
        valid, first, _, maximum = control

        products = self._products(m, [(self.a, self.b), (a, b)])
        results = []
        for lane in range(config.lanes):
            terms = [
                delayed(m, term, self.crossing(config), f"crossing_{lane}_{i}").as_signed()
                for i, term in enumerate(products[lane])
            ]
            level = 0
            while len(terms) > 1:
                sums = []
                for i in range(0, len(terms), 4):
                    total = sum(terms[i + 1 : i + 4], start=terms[i])
                    name = f"sum_{lane}_{level}_{i // 4}"
                    register = Signal(total.shape(), name=name, reset_less=True)
                    m.d.sync += register.eq(total)
                    sums.append(register)
                terms, level = sums, level + 1
            dot = terms[0]
            accumulator = Signal(signed(width), name=f"accumulator_{lane}", reset_less=True)
            finished = Signal(signed(width), name=f"finished_{lane}", reset_less=True)
            value = Signal(signed(width), name=f"value_{lane}")
            # Where sums share their way with maxima, they begin at 0 because the last one ended.
            plain = (accumulator if config.maximum else Mux(first, 0, accumulator)) + dot
            if config.maximum:
                ours, best = (x[: config.element_bits].as_signed() for x in (dot, accumulator))
                better = first | less(best, ours)
                plain = Mux(maximum, Mux(better, dot, accumulator), plain)
            m.d.comb += value.eq(plain)
            with m.If(valid):
                m.d.sync += accumulator.eq(value)
            with m.If(ends):
                m.d.sync += finished.eq(value)
            if config.maximum:
                with m.If(clears):
                    m.d.sync += accumulator.eq(0)
            results.append(finished)
        m.d.comb += self.result.eq(Cat(*results))
        return m

    def _products(self, m: Module, operands: list) -> list[list]:
        """Of each lane; ``operands`` come now, and a cycle later."""
        config = self._config
        if self.crossing(config):
            a, b = operands[1]
            operands = [(a, b), (delayed(m, a, 1, "a_near"), delayed(m, b, 1, "b_near"))]
        (early_a, early_b), (a, b) = operands
        depth, bits, size = config.depth, config.weight_bits, config.element_bits
        paired = self.pairs(config)
        products: list[list] = []
        for lane in range(config.lanes):
            terms = []
            for i in range(depth):
                product = Signal(signed(size + bits), name=f"product_{lane}_{i}", reset_less=True)
                terms.append(product)
                if lane < paired:
                    continue
                own = lane * depth + i
                x = a.word_select(own if config.patterns else i, size).as_signed()
                y = b.word_select(own, bits).as_signed()
                m.d.sync += product.eq(x * y)
            products.append(terms)
        for lane in range(0, paired, 2):
            for i in range(depth):
                m.submodules[f"pair_{lane}_{i}"] = Instance(
                    "pair",
                    i_clk=ClockSignal(),
                    i_rst=ResetSignal(),
                    i_a=early_a.word_select(i, size),
                    i_b0=early_b.word_select(lane * depth + i, bits),
                    i_b1=early_b.word_select((lane + 1) * depth + i, bits),
                    o_p0=products[lane][i],
                    o_p1=products[lane + 1][i],
                )
        return products
