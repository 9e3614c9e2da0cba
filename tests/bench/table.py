"""Rounds of figures to one Markdown table: medians, spread, and pgsluice's share of each."""

import statistics


def _ratio(ours, theirs):
    pairs = [mine / other for mine, other in zip(ours, theirs) if other]
    return f"{statistics.median(pairs):.2f}" if pairs else "–"


def _spread(values):
    middle = statistics.median(values)
    return f"{(max(values) - min(values)) / middle:.0%}" if middle else "–"


def _number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.1f}"


def _rows(scenario, by_target):
    ours = by_target.get("pgsluice")
    for target, rounds in by_target.items():
        for figure in rounds[0]:
            values = [each[figure] for each in rounds if each.get(figure) is not None]
            if not values:
                continue
            is_other = target != "pgsluice" and ours and figure in ours[0]
            ratio = _ratio([each[figure] for each in ours], values) if is_other else ""
            yield (f"| {scenario} | {figure} | {target} | {_number(statistics.median(values))} "
                   f"| {_number(min(values))} | {_spread(values)} | {ratio} |")


def markdown(found):
    """One row a scenario, figure and target."""
    lines = ["| scenario | figure | target | median | lowest | spread | pgsluice ÷ it |",
             "|---|---|---|---:|---:|---:|---:|"]
    for scenario, by_target in found.items():
        by_figure = sorted(_rows(scenario, by_target), key=lambda row: row.split("|")[2])
        lines += by_figure
    return "\n".join(lines)
