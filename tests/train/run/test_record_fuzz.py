"""Mutants of what runs and model files record: each is read, or refused in one line that names the file."""

import json

import pytest
from record_mutants import NASTY, READERS, STATE_TEXT, state_of, try_records

from in21k.train.errors import TrainError
from in21k.train.run.checkpoint import STATE


@pytest.mark.parametrize("kind", READERS)
def test_a_mutant_of_a_record_is_read_or_refused_in_a_line(tmp_path, kind):
    try_records(tmp_path, kind, range(30))


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_each_of_a_thousand_mutants_is_read_or_refused_in_a_line(tmp_path, kind):
    try_records(tmp_path, kind, range(30, 1100))


@pytest.mark.parametrize("nasty", NASTY[:14])
@pytest.mark.parametrize("key", ["step", "dataset_sha256", "config", "scaler", "groups"])
def test_a_state_of_another_type_is_refused(tmp_path, key, nasty):
    if (key, nasty) in {("config", "{}"), ("scaler", "{}"), ("groups", "[]"), ("dataset_sha256", '""')}:
        return  # what an older version, a run without float16, or any digest may be
    values = json.loads(STATE_TEXT) | {key: "HERE"}
    with pytest.raises(TrainError, match=f"{STATE} cannot be read: "):
        state_of(tmp_path, json.dumps(values).replace('"HERE"', nasty).encode())
