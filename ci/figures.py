#!/usr/bin/env python3
"""Writes the figures in README.md and docs/ from the records of bench/.

A document has them between two comments, `figures: WHAT` and `end`, as a table or in the middle of a line:

    table           ours against the best of each kind, for README.md
    setting         what the record was taken on
    targets         what was wanted, and what was found
    ahead           who is ahead of our pools, where, and by how much
    groups          every group with every candidate
    instructions    counts of hot paths
    summary         how often ours is first
    quick           a warning, if the record is of a quick run
    times GROUP THEIRS OURS            how many times as long theirs takes as ours
    figure GROUP CANDIDATE [COLUMN]    a minimum

The records are docs/benchmarks/record.json, which bench/ writes together with overview.svg, and bench/instructions.json.

With --check, fails instead if a document does not say what the records say. Either way, fails if a document has a time
or a ratio that no record has, if there is no section about somebody who is ahead, or one about somebody who is not, or
if the picture is of another record.

Needs Python and git.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs/benchmarks/record.json"
PICTURE = ROOT / "docs/benchmarks/overview.svg"
INSTRUCTIONS = ROOT / "bench/instructions.json"
# Where everybody who is ahead has a section.
EXPLANATIONS = "docs/benchmarks/README.md"

MARKED = re.compile(r"<!-- figures: (?P<what>.+?) -->(?P<text>.*?)<!-- end -->", re.DOTALL)
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
BY_HAND = re.compile(r"\d\s?(?:ns|µs|us|ms)\b|\d\s?[×x](?!\w)|\b\d+\.\d+ times\b|\btimes (?:faster|slower)\b")

QUICK = "**From a quick run, of few rounds: it shows that everything works, and compares nothing.**"
# Columns in which somebody is ahead for no other reason than luck.
BY_LUCK = ("max",)
# Less is nobody's merit: by how much somebody must be ahead for a section to say why.
NOTABLE = 0.95

OURS = re.compile(r"(Fixed|Growing|ThreadLocal|ThreadSafe|LockFree)Pool\b")

Row = dict
Answer = dict


class Unknown(Exception):
    """What a document asks for, and no record has."""


class Records:
    def __init__(self) -> None:
        self.record = json.loads(RECORD.read_text())
        self.instructions = json.loads(INSTRUCTIONS.read_text())
        self.answers: list[Answer] = self.record["answers"]

    def text(self, what: str) -> str:
        """What stands between the comments."""
        name, *arguments = shlex.split(what)
        blocks = {"table": self.table, "setting": self.setting, "targets": self.targets, "groups": self.groups,
                  "ahead": self.ahead, "instructions": self.counts}  # fmt: skip
        words = {"times": self.times, "figure": self.figure, "summary": self.summary, "quick": self.quick}
        if name in blocks:
            return f"\n\n{blocks[name](*arguments)}\n\n"
        if name in words:
            return words[name](*arguments)
        raise Unknown(f"nothing is called {name!r}; there are {', '.join([*blocks, *words])}")

    # Blocks.

    def table(self) -> str:
        """Ours against the best of each kind, in every group."""
        header = ["", "ours", "`Box`, glibc", "best heap", "best rival with handles", "best of all rivals"]
        rows = []
        for answer, column in self.questions():
            ours = best(answer, column, lambda row: row["kind"] == "ours")
            rivals = [
                best(answer, column, lambda row: row["kind"] == "heap" and row["candidate"].endswith(" glibc")),
                best(answer, column, lambda row: row["kind"] == "heap"),
                best(answer, column, lambda row: row["kind"] == "handles"),
                best(answer, column, lambda row: row["kind"] != "ours"),
            ]
            against = [compared(row, ours, column) for row in rivals]
            # The first column is about one candidate, whose name is not repeated.
            against[0] = against[0].split(" ")[0]
            title = f"[`{label(answer, column)}`](docs/benchmarks/README.md#{anchor(answer['name'])})"
            rows.append([title, f"{quantity(answer, minimum(ours, column))}, {ours['candidate']}", *against])
        return self.dated(markdown(header, rows, text_columns=2))

    def setting(self) -> str:
        setting = self.record["setting"]
        versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
        lines = [
            f"- {setting['processor']}, {setting['cores']} cores, {setting['memory']}, {setting['system']}; "
            f"load before the run: {setting['load']}",
            f"- {setting['compiler']}, commit {setting['commit']}, {setting['date']}",
            f"- {versions}",
        ]
        return "\n".join([*([QUICK, ""] if self.record["quick"] else []), *lines])

    def targets(self) -> str:
        rows = []
        for verdict in self.record["verdicts"]:
            found = verdict["found"]
            said = "not measured"
            if found:
                word = "met" if found["met"] else "**missed**"
                said = f"{word}: {digits(found['by_min'])} ({digits(found['by_median'])})"
            rows.append([f"`{verdict['group']}`", verdict["pool"], verdict["wanted"], verdict["against"], said])
        table = markdown(["group", "pool", "wanted", "against", "found"], rows, text_columns=5)
        return self.dated(f"{self.met()} are met.\n\n{table}")

    def groups(self) -> str:
        return self.dated("\n\n".join(group(answer) for answer in self.answers))

    def ahead(self) -> str:
        rows = [
            [f"`{label(answer, column)}`", row["candidate"], row["kind"], ours["candidate"],
             digits(minimum(row, column) / minimum(ours, column))]
            for answer, column, row, ours in self.who_is_ahead()
        ]  # fmt: skip
        header = ["group", "who", "kind", "the best of ours", "takes, of what ours takes"]
        return self.dated(markdown(header, rows, text_columns=4))

    def counts(self) -> str:
        counts, setting = self.instructions["counts"], self.instructions["setting"]
        paths = list(dict.fromkeys(name.split("/", 1)[0] for name in counts["plain"]))
        candidates = list(dict.fromkeys(name.split("/", 1)[1] for name in counts["plain"]))
        ours = [name for name in candidates if OURS.match(name)]
        tables = []
        for variant, title in (("plain", "As it is by default"), ("stats", "With the feature `stats`")):
            found = counts[variant]
            rows = [[name, *(digits_of_count(found.get(f"{path}/{name}")) for path in paths)] for name in ours]
            tables.append(f"{title}:\n\n{markdown(['', *(f'`{path}`' for path in paths)], rows)}")
        others = sorted((found, name.split("/", 1)[1]) for name, found in counts["plain"].items()
                        if name.startswith("warm_loop/") and name.split("/", 1)[1] not in ours)  # fmt: skip
        tables.append("The warm loop of the others:\n\n" + markdown(
            ["", "`warm_loop`"], [[name, digits_of_count(found)] for found, name in others]))  # fmt: skip
        taken = f"Counted by {setting['valgrind']} on {setting['processor']}, {setting['compiler']}."
        return "\n\n".join([taken, *tables])

    # In the middle of a line.

    def times(self, group: str, theirs: str, ours: str) -> str:
        answer = self.answer(group)
        return f"{digits(minimum(named(answer, theirs), 0) / minimum(named(answer, ours), 0))} times"

    def figure(self, group: str, candidate: str, column: str | None = None) -> str:
        answer = self.answer(group)
        if column is not None and column not in answer["columns"]:
            raise Unknown(f"{group} has no column {column!r}, but {answer['columns']}")
        at = answer["columns"].index(column) if column else 0
        return quantity(answer, minimum(named(answer, candidate), at))

    def quick(self) -> str:
        return f" {QUICK} " if self.record["quick"] else ""

    def summary(self) -> str:
        """How often ours is first."""
        questions = list(self.questions())

        def first(*kinds: str) -> int:
            return sum(self.is_first(answer, column, kinds) for answer, column in questions)

        return (f"one of our pools is first among heaps and rivals with handles in {first('heap', 'handles')} of "
                f"{len(questions)} rows, and first of all in {first('heap', 'handles', 'keys', 'arena')}")  # fmt: skip

    # What these are made from.

    def questions(self):
        """Each group with the columns that count: of latencies, those that a user notices."""
        for answer in self.answers:
            for column, name in enumerate(answer["columns"]):
                if answer["measure"] == "time" or name in ("p99.9", "max", "resident", "resident after release"):
                    yield answer, column

    def is_first(self, answer: Answer, column: int, kinds: tuple[str, ...]) -> bool:
        ours = best(answer, column, lambda row: row["kind"] == "ours")
        return not any(is_ahead(row, ours, column) for row in answer["rows"] if row["kind"] in kinds)

    def who_is_ahead(self):
        for answer, column in self.questions():
            ours = best(answer, column, lambda row: row["kind"] == "ours")
            rows = sorted(answer["rows"], key=lambda row: minimum(row, column))
            for row in rows:
                if row["kind"] != "ours" and is_ahead(row, ours, column):
                    yield answer, column, row, ours

    def explained(self, document: str) -> list[str]:
        """What the sections about who is ahead have too little or too much."""
        if self.record["quick"]:
            return []
        ahead = {row["candidate"] for answer, column, row, ours in self.who_is_ahead()
                 if answer["columns"][column] not in BY_LUCK
                 and minimum(row, column) < minimum(ours, column) * NOTABLE}  # fmt: skip
        everybody = {row["candidate"] for answer in self.answers for row in answer["rows"]}
        sections = [re.findall(r"`([^`]+)`", title) for title in re.findall(r"^#### (.*)$", document, re.MULTILINE)]
        said = {name for section in sections for name in section}
        return [
            *(f"no section says why {name} is ahead" for name in sorted(ahead - said)),
            *(f"{name} is not ahead, nor is anybody else in the title" for name, *others in sections
              if not ahead.intersection([name, *others])),
            *(f"nobody in the record is called {name}" for name in sorted(said - everybody)),
        ]  # fmt: skip

    def pictured(self) -> list[str]:
        """What the picture does not say."""
        texts = re.findall(r"<text[^>]*>\s*(.*?)\s*</text>", PICTURE.read_text(), re.DOTALL)
        said = dict(zip(texts, texts[1:]))
        wrong = []
        for answer, column in self.questions():
            ours = best(answer, column, lambda row: row["kind"] == "ours")
            ratios = [minimum(row, column) / minimum(ours, column) for kind in ("handles", "heap")
                      if (row := best(answer, column, lambda row: row["kind"] == kind))]  # fmt: skip
            title = label(answer, column).replace(", ", " ")
            if said.get(title) != ", ".join(map(digits, ratios)):
                wrong.append(f"{PICTURE.relative_to(ROOT)} is not that of the record: see {title}")
        return wrong

    def answer(self, group: str) -> Answer:
        found = next((answer for answer in self.answers if answer["name"] == group), None)
        if found is None:
            raise Unknown(f"the record has no group {group!r}")
        return found

    def met(self) -> str:
        verdicts = self.record["verdicts"]
        return f"{sum(bool(verdict['found'] and verdict['found']['met']) for verdict in verdicts)} of {len(verdicts)} targets"

    def dated(self, text: str) -> str:
        setting = self.record["setting"]
        taken = (f"{setting['processor']}, {setting['cores']} cores; {setting['compiler']}; commit {setting['commit']}; "
                 f"{setting['date']}. Minima over interleaved rounds.")  # fmt: skip
        return "\n\n".join([*([QUICK] if self.record["quick"] else []), text, taken])


def group(answer: Answer) -> str:
    """A group with all that was found."""
    columns = answer["columns"]
    lines = [f"### `{answer['name']}`", "", f"{answer['question'][0].upper()}{answer['question'][1:]}", ""]
    if answer["measure"] == "time":
        ours = best(answer, 0, lambda row: row["kind"] == "ours")
        header = ["", "kind", "minimum", "median", f"/ {ours['candidate']}"]
        rows = [
            [row["candidate"], row["kind"], quantity(answer, minimum(row, 0)),
             quantity(answer, row["figures"][0]["median"]), digits(minimum(row, 0) / minimum(ours, 0))]
            for row in sorted(answer["rows"], key=lambda row: minimum(row, 0))
        ]  # fmt: skip
    else:
        header = ["", "kind", *columns]
        rows = [
            [row["candidate"], row["kind"],
             *(f"{quantity(answer, found['min'])} ({quantity(answer, found['median'])})" for found in row["figures"])]
            for row in answer["rows"]
        ]  # fmt: skip
    lines.append(markdown(header, rows, text_columns=2))
    notes = [*answer["notes"]]
    reasons: dict[str, list[str]] = {}
    for left_out in answer["left_out"]:
        reasons.setdefault(left_out["reason"], []).append(left_out["candidate"])
    notes += [f"Left out: {', '.join(names)}, because {reason}." for reason, names in reasons.items()]
    disturbed = [f"{row['candidate']} {row['calm'] or 'none'} of {row['rounds']}" for row in answer["rows"]
                 if row["calm"] < row["rounds"]]  # fmt: skip
    if disturbed:
        notes.append(f"Rounds in which both threads had their cores: {', '.join(disturbed)}.")
    return "\n".join(lines) + "".join(f"\n\n{note}" for note in notes)


def best(answer: Answer, column: int, wanted) -> Row | None:
    return min(filter(wanted, answer["rows"]), key=lambda row: minimum(row, column), default=None)


def named(answer: Answer, candidate: str) -> Row:
    row = best(answer, 0, lambda row: row["candidate"] == candidate)
    if row is None:
        raise Unknown(f"{answer['name']} has no candidate {candidate!r}")
    return row


def minimum(row: Row, column: int) -> float:
    return row["figures"][column]["min"]


def compared(theirs: Row | None, ours: Row, column: int) -> str:
    """What somebody takes, of what ours takes; in bold if that is less."""
    if theirs is None:
        return "–"
    ratio = digits(minimum(theirs, column) / minimum(ours, column))
    return f"{f'**{ratio}**' if is_ahead(theirs, ours, column) else ratio} {theirs['candidate']}"


def is_ahead(theirs: Row, ours: Row, column: int) -> bool:
    """As far as three digits can tell."""
    return round(minimum(theirs, column) / minimum(ours, column), 2) < 1


def label(answer: Answer, column: int) -> str:
    return answer["name"] if len(answer["columns"]) == 1 else f"{answer['name']}, {answer['columns'][column]}"


def anchor(title: str) -> str:
    """As GitHub makes it from a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def quantity(answer: Answer, value: float) -> str:
    if answer["measure"] == "bytes":
        return f"{digits(value)} B"
    for unit, size in (("ns", 1.0), ("µs", 1e3)):
        if value < size * 1e3:
            return f"{digits(value / size)} {unit}"
    return f"{digits(value / 1e6)} ms"


def digits(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def digits_of_count(count: float | None) -> str:
    return "" if count is None else f"{count:.1f}" if count < 1000 else f"{count:,.0f}"


def markdown(header: list[str], rows: list[list[str]], text_columns: int = 1) -> str:
    ruler = ["---" if column < text_columns else "---:" for column in range(len(header))]
    return "\n".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|" for cells in [header, ruler, *rows])


def by_hand(document: str) -> list[str]:
    """Times and ratios that stand outside of the marks."""
    return BY_HAND.findall(CODE.sub("", MARKED.sub("", document)))


def documents() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "README.md", "docs"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [ROOT / path for path in sorted(listed.stdout.split()) if path.endswith(".md")]


def main() -> None:
    records = Records()
    check = sys.argv[1:] == ["--check"]
    wrong = []
    marks = 0
    for path in documents():
        name, text = path.relative_to(ROOT), path.read_text()
        marks += len(MARKED.findall(text))
        try:
            written = MARKED.sub(lambda mark: f"<!-- figures: {mark['what']} -->{records.text(mark['what'])}<!-- end -->", text)
        except (Unknown, TypeError) as error:
            wrong.append(f"{name}: {error}")
            continue
        wrong += [f"{name}: {found!r} is in no record" for found in by_hand(text)]
        if str(name) == EXPLANATIONS:
            wrong += [f"{name}: {what}" for what in records.explained(written)]
        if not check:
            path.write_text(written)
        elif written != text:
            wrong.append(f"{name} does not say what the records say: run ci/figures.py and commit")
    wrong += records.pictured()
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{marks} figures and tables are those of the records")


if __name__ == "__main__":
    main()
