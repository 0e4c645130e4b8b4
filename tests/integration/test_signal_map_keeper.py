"""Changing the map: what is proved, what an upgrade leaves alone, and what a refusal leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from signal_map_rules import mapped_store, rule

from analyzer_service.errors import InvalidInputError, NotFoundError, SignalMapError, StoreError
from analyzer_service.signal_map import LAST_RULE, MapRule, RuleOrigin, Shadow, SignalName
from analyzer_service.store.connect import Store
from analyzer_service.store.signal_map import keeper as keeper_module
from analyzer_service.store.signal_map.files import shipped_rules
from analyzer_service.store.signal_map.keeper import MapKeeper, install_signal_map

READS = ("GET", "HEAD", "OPTIONS")
METHODS = (*READS, "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with mapped_store(tmp_path_factory.mktemp("map")) as opened:
        yield opened


@pytest.fixture
def keeper(shared: Store) -> MapKeeper:
    """Give the map as it ships, whatever the tests before did to it."""
    shared.execute("TRUNCATE TABLE signal_map")
    install_signal_map(shared)
    return MapKeeper(shared)


def name_of(text: str) -> SignalName:
    return SignalName(*text.split("\n"))


def winner(keeper: MapKeeper, text: str) -> int:
    return keeper.judge([name_of(text)])[0].winner


def forms(text: str) -> list[SignalName]:
    """Return the ways stock instrumentations write the same request."""
    said = name_of(text)
    method, _, path = said.name.partition(" ")
    if method not in METHODS:
        return [said]
    return [
        said,
        SignalName(said.service, said.name, ""),
        SignalName(said.service, method, said.route),
        SignalName(said.service, f"{method} {path.removesuffix('/')}", ""),
    ]


def test_every_shipped_rule_wins_its_example_in_every_form(keeper: MapKeeper) -> None:
    assert keeper.listing().shadows == ()
    for one in shipped_rules():
        slash_matters = one.pattern.endswith(r"/(?:\n|$)")
        for verdict in keeper.judge(forms(one.example)[: 3 if slash_matters else 4]):
            assert verdict.winner == one.rule_id, verdict.name
            assert (verdict.stage, verdict.component) == (one.stage, one.component)
            assert (verdict.action, verdict.action_kind) == (one.action, one.action_kind)


def test_no_counter_example_is_its_rules(keeper: MapKeeper) -> None:
    for one in shipped_rules():
        for verdict in keeper.judge(forms(one.counter_example)):
            assert one.rule_id not in (verdict.winner, *verdict.others), verdict.name


def test_reads_polls_and_inner_spans_of_a_tool_are_no_action(keeper: MapKeeper) -> None:
    names = [
        replace(name_of(one.example), name=name_of(one.example).name.replace(method, read, 1))
        for one in shipped_rules()
        for method in METHODS[3:]
        if name_of(one.example).name.startswith(f"{method} ")
        for read in READS
    ]
    inner = [
        SignalName(form.service, f"{form.name} {part}")
        for one in shipped_rules()
        for form in forms(one.example)[:1]
        for part in ("http send", "http receive")
        if form.name.startswith(METHODS)
    ]
    health = [
        SignalName(one.component, f"{method} {path}", path)
        for one in shipped_rules()
        for method in ("GET", "POST")
        for path in ("/health", "/healthz", "/metrics", "/v2/health/ready", "/api/health", "/")
    ]
    asked = [*names, *inner, *health]
    assert len(asked) > 300
    found = [
        verdict
        for start in range(0, len(asked), 100)
        for verdict in keeper.judge(asked[start : start + 100])
    ]
    assert [verdict.name for verdict in found if verdict.winner] == []


def test_a_rule_counts_from_the_moment_it_is_added(keeper: MapKeeper, shared: Store) -> None:
    before = keeper.listing()
    change = keeper.add([rule(100_000), rule(100_001, pattern="(?s)never.*", example="never\n\n")])
    assert (change.applied, change.added, change.replaced) == (True, (100_000, 100_001), ())
    assert change.version == before.version + 1
    assert winner(keeper, rule().example) == 100_000
    assert winner(keeper, "never\nx\ny") == 100_001
    after = keeper.listing()
    assert after.version == change.version
    assert {one.rule_id for one in after.rules} == {
        *(one.rule_id for one in before.rules),
        100_000,
        100_001,
    }
    assert keeper.add([rule(100_000)]).applied is False, "adding it again changes nothing"
    assert keeper.version() == change.version
    # Rule 0 carries the version, too.
    for number in (0, 100_000):
        assert shared.query(
            f"SELECT dictGet('signal_map_rule', 'map_version', toUInt64({number}))"
        ) == [(change.version,)]


def test_a_dry_run_proves_and_changes_nothing(keeper: MapKeeper) -> None:
    before = keeper.listing()
    change = keeper.add([rule()], dry_run=True)
    assert (change.applied, change.added, change.version) == (False, (100_000,), before.version)
    assert keeper.remove(3, dry_run=True).removed == (3,)
    with pytest.raises(SignalMapError):
        keeper.add([rule(pattern="(")], dry_run=True)
    assert keeper.listing() == before
    assert winner(keeper, rule().example) == 0


HOSTILE = {
    "open bracket": "(",
    "look-ahead": "(?=a)",
    "look-behind": "(?<=a)b",
    "back-reference": r"(a)\1",
    "too many repeats": "a{1001}",
    "repeats of repeats": "((a{1000}){1000}){1000}",
    "dangling star": "**",
    "trailing backslash": "a\\",
    "unknown class": r"\q",
    "reversed range": "[z-a]",
    "recursion": "(?R)",
    "a quote that ends nothing": "'); DROP TABLE signal_map; --(",
    "a parameter": "{pattern:String}(",
    "nul and bracket": "\0(",
}


@pytest.mark.parametrize("pattern", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_pattern_the_engine_cannot_compile_is_refused_with_all_of_its_file(
    keeper: MapKeeper, pattern: str
) -> None:
    before = keeper.listing()
    with pytest.raises(SignalMapError) as raised:
        keeper.add([rule(100_000), rule(100_007, pattern=pattern)])
    assert raised.value.field == "rows.100007.pattern"
    assert "100007" in raised.value.message
    assert "does not compile" in raised.value.message
    assert "RE2" in raised.value.hint
    assert keeper.listing() == before
    assert winner(keeper, rule().example) == 0


def test_a_pattern_that_would_take_ages_elsewhere_is_only_a_pattern(keeper: MapKeeper) -> None:
    slow = rule(
        pattern="^(?:a+)+b$", example="a" * 1000 + "b\n\n", counter_example="a" * 1000 + "\n\n"
    )
    with pytest.raises(SignalMapError, match="does not match its example"):
        keeper.add([slow])  # `$` is the end of the whole text
    keeper.add([replace(slow, pattern=r"^(?:a+)+b\n")])
    assert winner(keeper, "a" * 1900 + "b\n\n") == 100_000
    assert winner(keeper, "a" * 1900 + "\n\n") == 0


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        (rule(example="other\nx\ny"), "example", "does not match its example"),
        (rule(pattern="registry"), "counter_example", "matches its counter-example"),
        (rule(pattern=r"registry.POST"), "example", "does not match its example"),
        (rule(priority=3000), "priority", "is that of rule"),
        (
            rule(
                priority=20_000,
                pattern=r"\nPOST /api/kernels\n",
                example="lab\nPOST /api/kernels\n/api/kernels",
                counter_example="lab\nPOST /api/other\n/api/other",
            ),
            "priority",
            "rule 1 (notebook: start_kernel) takes its example first, with priority 2000",
        ),
        (rule(99_999), "id", "numbers below 100000 are for shipped rules"),
    ],
)
def test_a_rule_that_does_not_do_what_it_says_is_refused(
    keeper: MapKeeper, wrong: MapRule, field: str, said: str
) -> None:
    before = keeper.listing()
    with pytest.raises(SignalMapError) as raised:
        keeper.add([wrong])
    assert said in raised.value.message
    assert raised.value.field == f"rows.{wrong.rule_id}.{field}"
    assert raised.value.hint
    assert keeper.listing() == before


def test_two_new_rules_are_judged_against_each_other(keeper: MapKeeper) -> None:
    wide = rule(
        100_000, priority=10, pattern="registry", example="registry\n\n", counter_example="a\nb\nc"
    )
    with pytest.raises(SignalMapError, match=r"rule 100000 .* takes its example first"):
        keeper.add([wide, rule(100_001, priority=20)])
    with pytest.raises(SignalMapError, match="priority 10 is that of rule 100000"):
        keeper.add([wide, rule(100_001, priority=10)])
    keeper.add([replace(wide, priority=20), rule(100_001, priority=10)])


def test_a_rule_that_takes_anothers_example_is_reported(keeper: MapKeeper) -> None:
    greedy = rule(
        priority=1,
        pattern=r"/api/kernels/?$",
        example="lab\nPOST /api/kernels\n/api/kernels",
        counter_example="a\nb\nc",
    )
    assert keeper.add([greedy], dry_run=True).shadows == (Shadow(1, 100_000),)
    assert keeper.add([greedy]).shadows == (Shadow(1, 100_000),)
    assert keeper.listing().shadows == (Shadow(1, 100_000),)
    verdict = keeper.judge([name_of(greedy.example)])[0]
    assert (verdict.winner, verdict.others) == (100_000, (1,))
    assert keeper.remove(100_000).shadows == ()
    assert winner(keeper, greedy.example) == 1


def test_the_highest_number_is_the_highest_the_dictionary_takes(
    keeper: MapKeeper, shared: Store
) -> None:
    keeper.add([rule(LAST_RULE)])
    assert winner(keeper, rule().example) == LAST_RULE
    # A row beyond it, from whatever source, must not keep the map from loading.
    shared.insert_rows(
        "signal_map",
        ["rule_id", "priority", "pattern", "map_version"],
        [[LAST_RULE + 1, 0, "beyond", 50]],
    )
    keeper.add([rule(100_000, priority=7, pattern="(?m)^other$", example="other\n\n")])
    assert winner(keeper, "other\n\n") == 100_000


def test_a_removed_rule_is_out_until_it_is_restored(keeper: MapKeeper, shared: Store) -> None:
    example = next(one.example for one in shipped_rules() if one.rule_id == 3)
    keeper.remove(3)
    assert winner(keeper, example) == 0
    assert keeper.listing().removed == (3,)
    with pytest.raises(NotFoundError):
        keeper.remove(3)
    assert install_signal_map(shared) is False, "a start leaves it out"
    assert winner(keeper, example) == 0
    assert keeper.restore(3).replaced == (3,)
    assert winner(keeper, example) == 3
    assert keeper.listing().removed == ()
    for number in (3, 100_000):
        with pytest.raises(NotFoundError):
            keeper.restore(number)


def test_an_upgrade_keeps_what_the_operator_did(
    keeper: MapKeeper, shared: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = {one.rule_id: one for one in shipped_rules()}
    replaced = replace(shipped[4], component="our-registry", origin=RuleOrigin.OPERATOR)
    keeper.add([rule(100_000), replaced])
    keeper.remove(3)
    newer = [
        replace(shipped[1], action="begin_kernel"),
        replace(shipped[3], action="other_run"),
        replace(shipped[4], action="other_registration"),
        replace(
            shipped[100], rule_id=900, priority=9000, pattern="brand-new", example="brand-new\n\n"
        ),
        *(one for number, one in shipped.items() if number not in {1, 3, 4, 200}),
    ]
    monkeypatch.setattr(keeper_module, "shipped_rules", lambda: tuple(newer))
    assert install_signal_map(shared) is True
    now = {one.rule_id: one for one in keeper.listing().rules}
    assert now[1].action == "begin_kernel"
    assert now[900].pattern == "brand-new"
    assert 200 not in now, "what no longer ships is gone"
    assert 3 not in now, "what was removed stays removed"
    assert now[4] == replaced
    assert now[100_000] == rule(100_000)
    assert winner(keeper, rule().example) == 100_000
    assert install_signal_map(shared) is False
    version = keeper.version()
    assert keeper.restore(4).version == version + 1
    assert {one.rule_id: one for one in keeper.listing().rules}[4].action == "other_registration"


def test_a_map_that_cannot_be_loaded_is_put_back(keeper: MapKeeper, shared: Store) -> None:
    keeper.add([rule(100_000)])
    before = keeper.listing().rules
    [(text,)] = shared.query("SELECT as_select FROM system.tables WHERE name = 'signal_map_tree'")
    broken = "SELECT * FROM ({text}) WHERE NOT throwIf(1)"
    shared.execute(f"CREATE OR REPLACE VIEW signal_map_tree AS {broken.format(text=text)}")
    try:
        with pytest.raises(StoreError):
            keeper.add(
                [rule(100_000, component="elsewhere"), rule(100_001, pattern="x", example="x\n\n")]
            )
        assert winner(keeper, rule().example) == 100_000
    finally:
        shared.execute(f"CREATE OR REPLACE VIEW signal_map_tree AS {text}")
    assert keeper.listing().rules == before
    install_signal_map(shared)
    assert keeper.judge([name_of(rule().example)])[0].component == "registry"


def test_adding_from_many_threads_loses_nothing(keeper: MapKeeper) -> None:
    rules = [
        rule(100_000 + n, pattern=rf"^tool-{n}\n", example=f"tool-{n}\na\nb") for n in range(12)
    ]
    version = keeper.version()
    threads = [threading.Thread(target=keeper.add, args=([one],)) for one in rules]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert keeper.version() == version + len(rules)
    verdicts = keeper.judge([name_of(one.example) for one in rules])
    assert [verdict.winner for verdict in verdicts] == [one.rule_id for one in rules]


@pytest.mark.parametrize(
    "names",
    [
        [],
        [SignalName("a", "b")] * 101,
        [SignalName("a\nb", "c")],
        [SignalName("a", "b" * 2001)],
    ],
)
def test_names_that_cannot_be_tested_are_refused(
    keeper: MapKeeper, names: list[SignalName]
) -> None:
    with pytest.raises(InvalidInputError) as raised:
        keeper.judge(names)
    assert raised.value.field == "names"
    assert raised.value.hint
