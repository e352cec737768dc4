"""Records from JSON: read strictly, but for what another version had and did not use."""

import pytest

from waitlab import records
from waitlab.errors import LabError
from waitlab.trial import Single

ONE = {"sent": 0.0, "begun": None, "answered": 2.0, "status": 200}


def test_a_field_of_another_version_may_say_nothing_and_no_more() -> None:
    assert records.decode(Single, ONE | {"cpu_s": None}, "here") == Single(0.0, None, 2.0, 200)
    with pytest.raises(LabError, match="here: unknown field 'cpu_s'"):
        records.decode(Single, ONE | {"cpu_s": 0.5}, "here")
