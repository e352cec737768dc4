"""[[predictions]] of an experiment: a prediction about a family becomes one for each of its members."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from waitlab.experiment import sweeps, tables
from waitlab.experiment.arms import FORMS
from waitlab.experiment.question import Arm, Prediction, Reference
from waitlab.experiment.tables import Check, Place
from waitlab.laws import LAWS, Law
from waitlab.quantities import QUANTITIES

BOUNDS = ("law", "equals", "at_least", "at_most")
PREDICTION: dict[str, Check] = {
    "says": tables.text,
    "arm": tables.text,
    "quantity": tables.text,
    "law": tables.text,
    "measured": tables.anything,
    **dict.fromkeys(BOUNDS[1:], tables.anything),
    "within": tables.number(0.001, 1, "a fraction, 0.10 for 10 %: "),
    "fit": tables.switch,
    "expected": tables.choice("confirmed", "refuted"),
    "instead": tables.text,
}
WORDS = ("says", "quantity", "within", "expected", "instead")
CPU_A_REQUEST = "cpu_ms_per_request"  # what means something in duet, and what is counted there as anywhere
COUNTED = ("error_ratio", "switches_voluntary_per_request", "threads_per_worker", "uncounted")
NEEDS = {  # of a quantity, by its `load`
    "requests": "it needs users or a rate, and no client that holds its connection",
    "stream": "it needs users or a rate",
    "singles": "it needs concurrent",
    "victim": 'it needs a victim, a light request beside the load: say victim = "/async/ping"',
    "held": "it needs a client that holds its connection: sse, websocket, upload, reader or idle",
    "sse": 'it needs client = "sse"',
    "websocket": 'it needs client = "websocket"',
}
REFERENCE: dict[str, Check] = {"arm": tables.text, "quantity": tables.text, "times": tables.number(1e-9, 1e9)}


@dataclass(frozen=True)
class Known:
    """What predictions may name: the experiment's arms, by name and by family, and quantities of its own."""

    arms: tuple[Arm, ...]
    own_quantities: tuple[str, ...] = ()

    def members(self, place: Place, name: str) -> list[Arm]:
        """The arm called `name`, or every member of the family; LabError when there is neither."""
        found = [arm for arm in self.arms if name in (arm.name, arm.family)]
        if not found:
            names = dict.fromkeys([*(arm.family for arm in self.arms), *(arm.name for arm in self.arms)])
            raise place.unknown(name, "arm", names)
        return found

    def partner(self, place: Place, name: str, of: Arm) -> Arm:
        """The arm called `name`, or the member of that family that expanded to the same as `of`."""
        found = self.members(place, name)
        suffix = of.name.removeprefix(of.family)
        fitting = found if len(found) == 1 else [arm for arm in found if arm.name == arm.family + suffix]
        if not fitting:
            hint = f"name one arm, or let {name} and {of.family} expand over the same lists"
            raise place.fault(f"names {len(found)} arms, and none fits {of.name!r}", hint)
        return fitting[0]


def read(place: Place, found: object, known: Known) -> tuple[Prediction, ...]:
    """Every prediction for every arm it is about, in the file's order."""
    if not isinstance(found, list) or not found:
        raise place.fault("is empty", "state at least one: [[predictions]]")
    return tuple(
        prediction
        for count, table in enumerate(found, 1)
        for prediction in _read_one(Place(place.file, f"prediction {count}"), table, known)
    )


def _read_one(place: Place, found: object, known: Known) -> list[Prediction]:
    given = tables.read(place, found, PREDICTION, needed=("says", "quantity"))
    bounds = [bound for bound in BOUNDS if bound in given]
    if len(bounds) != 1:
        raise place.fault(f"says {' and '.join(bounds) or 'nothing'}", f"say one of {', '.join(BOUNDS)}")
    if (bounds[0] in ("law", "equals")) != ("within" in given):
        hint = "law and equals take within, the band as a fraction; at_least and at_most are bounds and take none"
        raise place.fault("has no within" if "within" not in given else "has a within", hint)
    if "instead" in given and given.get("expected") != "refuted":
        raise place.at("instead").fault("is of what is refuted", 'leave it out, or say expected = "refuted"')
    families = list(dict.fromkeys(arm.family for arm in known.arms))
    if "arm" not in given and len(families) > 1:
        raise place.fault("has no arm", f"say which: {', '.join(families)}")
    members = known.members(place.at("arm"), given.get("arm", families[0]))
    each = [_of_arm(place, given, arm, known) for arm in members]
    return [sweeps.fitted(place.at("fit"), members, each)] if given.get("fit") else each


def _of_arm(place: Place, given: Mapping[str, Any], arm: Arm, known: Known) -> Prediction:
    """One prediction of one arm, everything it refers to found."""
    _check_quantity(place, given["quantity"], arm, known)
    values = {key: value for key, value in given.items() if key in WORDS}
    for bound in BOUNDS[1:]:
        if bound in given:
            values[bound] = _bound(place.at(bound), given[bound], arm, given["quantity"], known)
    if "law" in given:
        law = _law(place.at("law"), given["law"], arm, given["quantity"])
        measured = _measured(place.at("measured"), given.get("measured", {}), law, arm, known)
        values |= {"law": law.name, "measured": measured}
    elif "measured" in given:
        raise place.at("measured").fault("is of a law, and here is none", "leave it out")
    prediction = Prediction(arm=arm.name, **values)
    _refuse_circle(place, prediction)
    _refuse_beside(place, prediction, known)
    return prediction


def _law(place: Place, name: str, arm: Arm, quantity: str) -> Law:
    if name not in LAWS:
        raise place.unknown(name, "law", LAWS)
    law = LAWS[name]
    if arm.is_own:
        hint = "say equals, at_least or at_most: a number, or another arm's quantity"
        raise place.fault(f"= {name!r} does not know what a request of your own service waits for", hint)
    if arm.load.background:
        hint = "hold it against an arm that is alone"
        raise place.fault(f"= {name!r} knows nothing of the background of {arm.name!r}", hint)
    if quantity not in law.quantities:
        raise place.fault(f"= {name!r} says nothing of {quantity}", f"it predicts {' or '.join(law.quantities)}")
    form = "users who hold connections" if arm.load.holds else next(form for form in FORMS if getattr(arm.load, form))
    if form != law.load:
        fitting = [one.name for one in LAWS.values() if one.load == form and quantity in one.quantities]
        hint = f"of {quantity} with {form} there is {', '.join(fitting) or 'no law: say equals, at_least or at_most'}"
        raise place.fault(f"= {name!r} is about {law.load}, and {arm.name!r} has {form}", hint)
    return law


def _measured(place: Place, found: object, law: Law, arm: Arm, known: Known) -> dict[str, Reference]:
    """Where the law's inputs are measured: each input's name with the arm, and the law says which quantity.

    What CPU a request takes is the arm's own where no other is named.
    """
    given = tables.read(place, found, dict.fromkeys(law.measured, tables.text))
    sources = {}
    for name, quantity in law.measured.items():
        if name not in given and quantity != CPU_A_REQUEST:
            hint = f'it is a {quantity} of some arm: measured = {{ {name} = "ARM" }}'
            raise place.fault(f"has no {name}, which {law.name} needs", hint)
        source = known.partner(place.at(name), given[name], arm) if name in given else arm
        _check_quantity(place.at(name), quantity, source, known)
        sources[name] = Reference(source.name, quantity)
    return sources


def _bound(place: Place, found: object, arm: Arm, quantity: str, known: Known) -> float | Reference:
    """A number, or another arm's quantity (the predicted one where none is named)."""
    if not isinstance(found, dict):
        return float(tables.checked(place, found, tables.finite))
    given = tables.read(place, found, REFERENCE, needed=("arm",))
    other, asked = known.partner(place.at("arm"), given["arm"], arm), given.get("quantity", quantity)
    _check_quantity(place, asked, other, known)
    return Reference(other.name, asked, given.get("times", 1.0))


def _check_quantity(place: Place, name: str, arm: Arm, known: Known) -> None:
    """LabError for a quantity that does not exist, or that no trial of this arm can have."""
    if name in known.own_quantities:
        return
    if name not in QUANTITIES:
        raise place.at("quantity").unknown(name, "quantity", (*QUANTITIES, *known.own_quantities))
    needed = QUANTITIES[name].load
    if needed not in arm.load.kinds:
        raise place.at("quantity").fault(f"= {name!r} cannot be measured in arm {arm.name!r}", NEEDS[needed])
    if arm.is_own and not QUANTITIES[name].outside:
        known_of = ", ".join(one.name for one in QUANTITIES.values() if one.outside and one.load in arm.load.kinds)
        raise place.at("quantity").fault(f"= {name!r} is nothing that a service of your own tells", f"say {known_of}")


def _refuse_beside(place: Place, prediction: Prediction, known: Known) -> None:
    """Of arms that share one core their CPU a request has meaning, one against another, and what is counted."""
    in_duet = {arm.name for arm in known.arms if arm.load.duet}
    partners = {prediction.arm, *(source.arm for source in prediction.references)}
    if not in_duet & partners or prediction.quantity in COUNTED:
        return
    if prediction.quantity != CPU_A_REQUEST:
        hint = f"arms in duet share one core: of them say {', '.join((CPU_A_REQUEST, *COUNTED))}"
        raise place.at("quantity").fault(f"= {prediction.quantity!r} means nothing in duet", hint)
    is_pair = not prediction.law and len(partners) == 2 and partners <= in_duet
    if not is_pair or prediction.references[0].quantity != CPU_A_REQUEST:
        bound = next(bound for bound in BOUNDS if getattr(prediction, bound) not in ("", None))
        hint = f'hold it against another arm in duet: {{ arm = "{min(in_duet - {prediction.arm})}", times = 1.1 }}'
        raise place.at(bound).fault(f"is not a partner's {CPU_A_REQUEST}", hint)


def _refuse_circle(place: Place, prediction: Prediction) -> None:
    """What is predicted from itself is always confirmed."""
    sources = (prediction.equals, prediction.at_least, prediction.at_most, *prediction.measured.values())
    for source in sources:
        if isinstance(source, Reference) and (source.arm, source.quantity) == (prediction.arm, prediction.quantity):
            hint = "name another arm or another quantity"
            raise place.fault(f"compares {source.quantity} of {source.arm!r} with itself", hint)
