"""The table of losses: a record each, from which all else takes what a loss is.

To add a loss, write its maths in `_formula`, or in a file beside it, and a record here. Weights,
masks, smoothing, reductions, every engine, the rule for autograd, the oracle, the audit and the
tests of all these come with the record. A public function, of the loss or of its derivative, is
then a signature, a docstring and one call of `_evaluate.evaluate`.
"""

from dataclasses import dataclass, replace
from math import inf
from typing import Any

from xbce import _asymmetric, _focal, _formula
from xbce._numbers import is_number
from xbce._typing import Array, Formula, Namespace, Output


@dataclass(frozen=True)
class Parameter:
    """What a loss takes beside labels and logits.

    Attributes
    ----------
    name : str
        That of the argument, of the public functions and of the formulas.
    array : bool
        Whether it may also be an array that broadcasts to the logits.
    constant : bool
        Whether a number of Python is a constant to compilers, so that the formulas may look at it.
    required : bool
        Whether None, which leaves a parameter out, is an error.
    low, high : float
        The least and the largest number that is allowed. Infinity and NaN are not, unless an array
        may hold them too, whose values are not looked at.
    neutral : float
        Of an array: the number that changes nothing, put where a mask leaves elements out.
    advice : str
        Ends the message about a number that is not allowed.
    examples : tuple of float or None
        What tests and reports try.
    """

    name: str
    array: bool = True
    constant: bool = False
    required: bool = False
    low: float = -inf
    high: float = inf
    neutral: float = 1.0
    advice: str = "Pass a number within these bounds."
    examples: tuple[float | None, ...] = (None,)


@dataclass(frozen=True, eq=False)
class Loss:
    """One loss.

    Its formulas are pure functions of (xp, labels, logits, **parameters), element by element, or
    over the classes on the last axis. Derivatives are by the logits.

    Attributes
    ----------
    name : str
        With ``_loss`` behind it the default scope in the loss collection, as in TensorFlow.
    value : callable
        The losses. Automatic differentiation of it must be right to every order.
    gradient : callable
        Their derivative.
    value_and_gradient, gradient_and_hessian : callable, optional
        Two of them as a tuple, where they share work. The Hessian is its diagonal.
    parameters : tuple of Parameter
        What the formulas take beside labels and logits; those that are not given are left out.
    over_classes : bool
        Whether a loss is one of the classes on the last axis. The formulas then take the
        numbers of the classes too, as ``class_numbers``.
    class_numbers : bool
        Whether labels are numbers of classes, with no axis of classes.
    spread : Loss, optional
        With labels that are numbers: the loss of the probabilities that they stand for, which takes
        their place where labels are smoothed or classes are left out.
    terms : callable, optional
        Gradient and, where there is one, Hessian, but with the terms that are subtracted in them
        added: the audit measures errors in ulp of these sums. Without it in ulp of the derivative
        itself, and that of hard labels only.
    max_ulp : tuple of float
        The largest error of the loss and of the closed form of its gradient that is promised, in
        ulp: in float32, and in float64, with each of the examples of its parameters; of the Hessian
        it is 6 at the least. ``audit(...).largest()`` measures it.
    """

    name: str
    value: Formula
    gradient: Formula
    value_and_gradient: Formula | None = None
    gradient_and_hessian: Formula | None = None
    parameters: tuple[Parameter, ...] = ()
    over_classes: bool = False
    class_numbers: bool = False
    spread: "Loss | None" = None
    terms: Formula | None = None
    max_ulp: tuple[float, float] = (4, 4)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Losses are compared by identity, which is quick; a copy sent to a worker is the same too.
        return (named, (self.name,)) if self in LOSSES else super().__reduce_ex__(protocol)

    def formula(self, output: Output) -> Formula:
        """The formula of this name; the pair that there is none for is two of the others."""
        formula: Formula | None = getattr(self, output)
        if formula is None and output == "value_and_gradient":
            return self._value_and_gradient
        if formula is None:
            raise NotImplementedError(f"There is no {output} of {self.name}.")
        return formula

    def _value_and_gradient(
        self, xp: Namespace, *arrays: Array, **parameters: Any
    ) -> tuple[Array, Array]:
        value = self.value(xp, *arrays, **parameters)
        return value, self.gradient(xp, *arrays, **parameters)

    def promised(self, dtype: str, quantity: str = "loss") -> float:
        """The largest error of a quantity in a dtype, in ulp: 1 for 16 bits, rounded once."""
        least = 6 if quantity == "hessian" else 0
        both = {"float32": self.max_ulp[0], "float64": self.max_ulp[1]}
        return max(both[dtype], least) if dtype in both else 1

    def examples(self) -> list[dict[str, Any]]:
        """Parameters to try: the first of each parameter's examples, the second, and so on."""
        number = max((len(parameter.examples) for parameter in self.parameters), default=1)
        found = []
        for n in range(number):
            tried = {p.name: p.examples[n % len(p.examples)] for p in self.parameters}
            found.append({name: value for name, value in tried.items() if value is not None})
        return found


_POS_WEIGHT = Parameter("pos_weight")
_GAMMA = Parameter(
    "gamma",
    constant=True,
    required=True,
    low=0,
    advice="Pass 0 for the plain loss.",
    examples=(2.0, 0.5, 5.0),
)

SIGMOID = Loss(
    "sigmoid_cross_entropy",
    _formula.sigmoid_cross_entropy,
    _formula.sigmoid_gradient,
    _formula.sigmoid_value_and_gradient,
    _formula.sigmoid_gradient_and_hessian,
    parameters=(_POS_WEIGHT,),
    terms=_formula.sigmoid_terms,
)
WEIGHTED = replace(
    SIGMOID,
    name="weighted_cross_entropy",
    parameters=(replace(_POS_WEIGHT, required=True, examples=(3.0, 0.3, 1e-6, 1e6)),),
    max_ulp=(6, 6),
)
FOCAL = Loss(
    "sigmoid_focal",
    _focal.focal_loss,
    _focal.focal_gradient,
    _focal.focal_value_and_gradient,
    _focal.focal_gradient_and_hessian,
    parameters=(
        _POS_WEIGHT,
        Parameter(
            "alpha",
            constant=True,
            low=0,
            high=1,
            advice="Pass None to weigh both classes alike.",
            examples=(None, 0.25, 0.75),
        ),
        _GAMMA,
    ),
    terms=_focal.focal_terms,
    max_ulp=(24, 16),
)
ASYMMETRIC = Loss(
    "asymmetric_sigmoid",
    _asymmetric.asymmetric_loss,
    _asymmetric.asymmetric_gradient,
    _asymmetric.asymmetric_value_and_gradient,
    _asymmetric.asymmetric_gradient_and_hessian,
    parameters=(
        _POS_WEIGHT,
        replace(_GAMMA, name="gamma_positive", examples=(1.0, 0.0, 2.0)),
        replace(_GAMMA, name="gamma_negative", examples=(4.0, 2.0, 1.0)),
        Parameter(
            "clip",
            array=False,
            constant=True,
            required=True,
            low=0,
            high=0.99,
            advice="Pass 0 to clip nothing.",
            examples=(0.05, 0.0, 0.2),
        ),
    ),
    terms=_asymmetric.asymmetric_terms,
    max_ulp=(48, 32),
)
SOFTMAX = Loss(
    "softmax_cross_entropy",
    _formula.softmax_cross_entropy,
    _formula.softmax_gradient,
    _formula.softmax_value_and_gradient,
    _formula.softmax_gradient_and_hessian,
    over_classes=True,
    terms=_formula.softmax_terms,
    max_ulp=(16, 16),
)
SPARSE_SOFTMAX = Loss(
    "sparse_softmax_cross_entropy",
    _formula.sparse_softmax_cross_entropy,
    _formula.sparse_softmax_gradient,
    _formula.sparse_softmax_value_and_gradient,
    _formula.sparse_softmax_gradient_and_hessian,
    over_classes=True,
    class_numbers=True,
    spread=SOFTMAX,
    max_ulp=(16, 16),
)
LOSSES = (SIGMOID, WEIGHTED, FOCAL, ASYMMETRIC, SOFTMAX, SPARSE_SOFTMAX)

GIVEN = Loss("weighted", _formula.identity, _formula.ones)
"""Losses that the caller has computed, in the place of logits and without labels."""


def sigmoid_of(
    pos_weight: Any = None, alpha: Any = None, gamma: Any = 0.0
) -> tuple[Loss, dict[str, Any]]:
    """The sigmoid loss of these parameters and those that it takes: plain, or focal if need be."""
    parameters = {} if pos_weight is None else {"pos_weight": pos_weight}
    if alpha is None and is_number(gamma) and gamma == 0:
        return SIGMOID, parameters
    return FOCAL, parameters | {"alpha": alpha, "gamma": gamma}


def named(loss: str | Loss) -> Loss:
    """The loss of this name in the table; a record itself passes, in the table or not."""
    if isinstance(loss, Loss):
        return loss
    for known in LOSSES:
        if known.name == loss:
            return known
    names = ", ".join(repr(known.name) for known in LOSSES)
    raise ValueError(f"`loss` must be one of {names}; got {loss!r}.")
