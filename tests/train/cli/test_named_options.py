"""Messages name only options that the commands which can print them have."""

import ast
import re
from pathlib import Path

import in21k.train
from in21k.prep.cli.main import main as prep
from in21k.train.cli.main import main as train

ROOT = Path(next(iter(in21k.train.__path__)))
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
RUNS = {"pretrain", "transfer"}
READS = RUNS | {"evaluate"}
LOADS = READS | {"predict", "export"}
COMMANDS = {
    "config": READS,
    "config/start.py": {"pretrain"},
    "device": READS,
    "device/backend.py": RUNS,  # it compiles in training alone
    "images": READS,
    "data": READS | {"embed", "retrieve"},
    "data/open_data.py": {"transfer", "embed", "retrieve"},
    "data/open_datasets": {"transfer", "embed", "retrieve"},
    "stream": READS | {"embed", "retrieve"},
    "model": LOADS,
    "model/fitting.py": READS,  # of weights that a command names
    "model/published.py": {"evaluate"},  # a teacher's caller names its own option
    "model/layers.py": {"embed"},
    "losses": RUNS,
    "recipes": RUNS,
    "run": RUNS,
    "evaluation": READS,
    "evaluation/predictions.py": {"evaluate"},
    "trainer": RUNS,
    "trainer/teacher.py": {"pretrain", "transfer", "throughput"},
    "trainer/throughput.py": {"throughput"},
    "transfer": {"transfer"},
    "embed": {"embed"},
    "neighbors": {"transfer"},
    "benchmark": {"benchmark"},
    "benchmark/kinds.py": {"transfer"},  # options of the commands that a benchmark starts
    "benchmark/plan.py": {"transfer"},
    "retrieval": {"retrieve"},
    "detection": {"transfer"},
    "detection/trained_detector.py": {"predict"},
    "detection/drawing.py": {"predict"},
    "use": {"predict", "export"},
    "use/onnx_network.py": {"predict"},
    "use/published_model.py": {"predict"},
    "use/predict_picture.py": {"predict"},
    "use/answer_files.py": {"predict"},
    "publish": {"export"},
}
"""The commands that can print the messages of a room, or of a file where that has fewer."""

ELSEWHERE = {
    ("benchmark/kinds.py", "--sheet"),  # of retrieve
    ("config/fields.py", "--help"),
    ("config/overrides.py", "--set"),  # of the commands that have it
    ("publish/model_card.py", "--checkpoint"),  # the card names predict
    ("publish/upload.py", "--private"),  # of hf, which the message names
    ("evaluation/scores.py", "--val-per-class"),  # of in21k-prep, which the message names
    ("model/hub.py", "--checkpoint"),  # of transfer and embed, whose callers ask for the text
    ("model/hub.py", "--model"),  # likewise
    ("trainer/start.py", "--init"),  # told to pretrain alone
    ("trainer/start.py", "--scratch"),  # likewise
    ("run/checkpoint.py", "--probe"),  # the message names transfer
    ("run/resolve.py", "--clips"),  # of transfer, which alone can be given it for images
    ("evaluation/scores.py", "--clips"),  # only evaluate has models of images and this option
    ("run/resolve.py", "--task"),  # the message names transfer
    ("run/resolve.py", "--init"),  # the message names pretrain
    ("run/resolve.py", "--checkpoint"),  # the message names transfer
}


def options_of(command: object) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)}


def texts(path: Path) -> list[str]:
    """The string constants of a module, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented
    ]


def named() -> list[tuple[str, str]]:
    """Each (file, option) that a message of the trainer's core names."""
    files = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
    core = [name for name in files if not name.startswith(("cli/", "__"))]
    return [(name, option) for name in core for text in texts(ROOT / name) for option in OPTION.findall(text)]


def test_messages_of_training_name_options_that_their_commands_have():
    options = {name: options_of(command) for name, command in train.commands.items()}
    found = named()
    assert len(found) > 40
    wrong = []
    for name, option in found:
        rooms = [room for room in COMMANDS if name == room or name.startswith(f"{room}/")]
        commands = COMMANDS[max(rooms, key=len)]
        if (name, option) not in ELSEWHERE and not all(option in options[command] for command in commands):
            wrong.append((name, option))
    assert wrong == []


def test_messages_of_preparing_name_options_that_exist():
    options = set().union(*map(options_of, prep.commands.values())) | {"--help", "--debug"}
    root = ROOT.parent / "prep"
    found = {option for path in root.rglob("*.py") for text in texts(path) for option in OPTION.findall(text)}
    assert len(found) > 20
    assert found - options <= set().union(*map(options_of, train.commands.values()))  # whose commands come next
