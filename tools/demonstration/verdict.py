"""What the new server holds, and the table at the end."""


def missing_rows(new, sessions):
    """Acknowledged rows that are not on the new server, and rows there that nobody sent."""
    held = {row[0] for row in new.query("SELECT id FROM ledger", dbname="app")}
    sent = {key for session in sessions for key in session.rows}
    return sorted(sent - held), sorted(held - sent)


def pgbench_balances(new, committed):
    """pgbench's own sums agree with its history, and every acknowledged transaction is there."""
    sums = new.query("SELECT (SELECT sum(abalance) FROM pgbench_accounts), "
                     "(SELECT sum(tbalance) FROM pgbench_tellers), "
                     "(SELECT sum(bbalance) FROM pgbench_branches), "
                     "(SELECT coalesce(sum(delta), 0) FROM pgbench_history), "
                     "(SELECT count(*) FROM pgbench_history)", dbname="app")[0]
    problems = []
    if len(set(sums[:4])) != 1:
        problems.append(f"pgbench's sums differ on the new server: {sums[:4]}")
    if sums[4] < committed:
        problems.append(f"{committed - sums[4]} pgbench transactions are missing")
    return problems


def table(rows):
    """Rows as text, columns as wide as their widest cell; numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width)
                 for cell, width in zip(row, widths)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def report(sessions, bench):
    """One row a kind of session."""
    rows = [("session", "count", "operations", "errors", "longest stall", "moved", "state kept")]
    for kind in dict.fromkeys(session.kind for session in sessions):
        group = [s for s in sessions if s.kind == kind]
        errors = sum(len(s.errors) for s in group)
        moved = sum(s.server == "new" for s in group)
        rows.append((kind, str(len(group)), str(sum(s.operations for s in group)), str(errors),
                     milliseconds(max(s.longest_s for s in group)), f"{moved} of {len(group)}",
                     f"{group[0].state}: {'yes' if errors == 0 else 'NO'}"))
    rows.append((bench.kind, str(bench.clients), str(bench.operations), str(len(bench.errors)),
                 milliseconds(bench.longest_s), f"{bench.clients} of {bench.clients}"
                 if not bench.errors else "-",
                 f"{bench.state}: {'yes' if not bench.errors else 'NO'}"))
    return table(rows)


def milliseconds(seconds):
    return "-" if seconds == 0 else f"{seconds * 1000:.0f} ms"
