// pgjdbc: extended protocol, named server-side statements after prepareThreshold uses, portals
// with fetchSize, batches, CopyManager, fastpath, LISTEN, cancel by a second connection.
// Run with: java -cp postgresql.jar SmokeJdbc.java

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Executors;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyIn;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

public class SmokeJdbc {
    interface Scenario {
        Object run() throws Exception;
    }

    static Connection main;
    static int failures = 0;

    static Connection connect(String... options) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", System.getenv("PGUSER"));
        p.setProperty("sslmode", System.getenv().getOrDefault("PGSSLMODE", "disable"));
        if (System.getenv("PGPASSWORD") != null) {
            p.setProperty("password", System.getenv("PGPASSWORD"));
        }
        if (System.getenv("PGSSLROOTCERT") != null) {
            p.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
        }
        for (int i = 0; i < options.length; i += 2) {
            p.setProperty(options[i], options[i + 1]);
        }
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":"
            + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), p);
    }

    static List<List<Object>> read(ResultSet rows) throws SQLException {
        List<List<Object>> found = new ArrayList<>();
        int columns = rows.getMetaData().getColumnCount();
        while (rows.next()) {
            List<Object> row = new ArrayList<>();
            for (int i = 1; i <= columns; i++) {
                row.add(rows.getObject(i));
            }
            found.add(row);
        }
        rows.close();
        return found;
    }

    static Object fetch(Connection connection, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++) {
                statement.setObject(i + 1, values[i]);
            }
            return statement.execute() ? read(statement.getResultSet()) : statement.getUpdateCount();
        }
    }

    static Object fetch(String sql, Object... values) throws SQLException {
        return fetch(main, sql, values);
    }

    static Object refused(Scenario scenario) throws Exception {
        try {
            return "no error: " + scenario.run();
        } catch (SQLException error) {
            return error.getSQLState() + " " + error.getMessage().lines().findFirst().orElse("");
        }
    }

    static String digest(byte[] data) throws Exception {
        StringBuilder hex = new StringBuilder();
        for (byte b : MessageDigest.getInstance("MD5").digest(data)) {
            hex.append(String.format("%02x", b));
        }
        return data.length + " bytes, md5 " + hex;
    }

    static boolean eventually(Scenario condition) throws Exception {
        for (long end = System.nanoTime() + 20_000_000_000L; System.nanoTime() < end;) {
            if (Boolean.TRUE.equals(condition.run())) {
                return true;
            }
            Thread.sleep(20);
        }
        return false;
    }

    static void run(String name, Scenario scenario) {
        try {
            System.out.println(name + " = " + scenario.run());
        } catch (Exception error) {
            failures++;
            System.out.println(name + " ! " + error);
        }
    }

    static Object parameters() throws Exception {
        return fetch("SELECT ?, ?, ?, ?, ?, ?::text, ?, ?, ?, ?",
            7, 1L << 62, 1.5, new BigDecimal("12345.678900"), "it's \\ \"x\"", null, false,
            java.sql.Date.valueOf("2024-02-29"), java.time.OffsetDateTime.parse(
                "2024-02-29T12:00:01.000005Z").toLocalDateTime(), new UUID(0, 42));
    }

    static Object errors() throws Exception {
        return List.of(refused(() -> fetch("SELEC 1")), refused(() -> fetch("SELECT 1/?", 0)),
            refused(() -> fetch("SELECT * FROM nowhere")),
            refused(() -> fetch("SELECT 'a'::int")), fetch("SELECT 'recovered'"));
    }

    static Object transactions() throws Exception {
        main.setAutoCommit(false);
        try {
            fetch("INSERT INTO smoke.item VALUES (1, 'one')");
            Savepoint a = main.setSavepoint("a");
            fetch("INSERT INTO smoke.item VALUES (2, 'two')");
            main.rollback(a);
            fetch("INSERT INTO smoke.item VALUES (3, 'three')");
            main.commit();
            fetch("DELETE FROM smoke.item");
            main.rollback();
            Object failed = refused(() -> fetch("SELECT 1/0"));
            Object ignored = refused(() -> fetch("SELECT 1"));
            main.rollback();
            Object found = fetch("SELECT id FROM smoke.item ORDER BY id");
            main.commit();
            return List.of(failed, ignored, found);
        } finally {
            main.setAutoCommit(true);
        }
    }

    static Object prepared() throws Exception {
        List<Object> seen = new ArrayList<>();
        try (PreparedStatement plus = main.prepareStatement("SELECT ?::int + ?::int AS sum")) {
            for (int i = 0; i < 20; i++) {
                plus.setInt(1, i);
                plus.setInt(2, i);
                seen.add(read(plus.executeQuery()).get(0).get(0));
            }
            seen.add(plus.unwrap(org.postgresql.PGStatement.class).isUseServerPrepare());
        }
        seen.add(fetch("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%sum'"));
        return seen;
    }

    static Object manyPrepared() throws Exception {
        // More than preparedStatementCacheQueries of them, so that the driver closes the oldest.
        long total = 0;
        try (Connection c = connect("prepareThreshold", "1")) {
            for (int i = 0; i < 300; i++) {
                try (PreparedStatement s = c.prepareStatement("SELECT ?::int + " + i)) {
                    s.setInt(1, 1);
                    total += ((Number) read(s.executeQuery()).get(0).get(0)).longValue();
                }
            }
        }
        return total;
    }

    static Object simpleMode() throws Exception {
        try (Connection c = connect("preferQueryMode", "simple")) {
            return List.of(fetch(c, "SELECT ?, ?", 1, "it's"), refused(() -> fetch(c, "SELEC")),
                fetch(c, "SELECT 'fine'"));
        }
    }

    static Object settings() throws Exception {
        fetch("SET work_mem = '7MB'");
        Object shown = fetch("SHOW work_mem");
        fetch("SET app.tenant = 'tenant ''one'''");
        fetch("SELECT set_config(?, ?, false)", "app.user_id", "4711");
        Object custom = fetch("SELECT current_setting('app.tenant'), current_setting(?)",
            "app.user_id");
        fetch("RESET work_mem");
        fetch("RESET app.tenant");
        return List.of(shown, custom, fetch("SHOW work_mem"),
            fetch("SELECT current_setting('app.tenant', true)"));
    }

    static Object searchPath() throws Exception {
        List<Object> seen = new ArrayList<>();
        for (String path : new String[] {"smoke", "smoke_other"}) {
            main.setSchema(path);
            for (int i = 0; i < 7; i++) {
                seen.add(fetch("SELECT name FROM note WHERE ?", true));
            }
        }
        fetch("RESET search_path");
        seen.add(refused(() -> fetch("SELECT name FROM note")));
        return seen;
    }

    static Object cursors() throws Exception {
        main.setAutoCommit(false);
        try (PreparedStatement s = main.prepareStatement("SELECT generate_series(1, ?)")) {
            s.setFetchSize(7);
            s.setInt(1, 1000);
            long sum = 0;
            for (List<Object> row : read(s.executeQuery())) {
                sum += ((Number) row.get(0)).longValue();
            }
            return sum;
        } finally {
            main.commit();
            main.setAutoCommit(true);
        }
    }

    static Object holdCursorAndTempTable() throws Exception {
        try (Connection c = connect()) {
            fetch(c, "DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 5)");
            Object first = fetch(c, "FETCH 2 FROM held");
            Object rest = fetch(c, "FETCH ALL FROM held");
            fetch(c, "CLOSE held");
            fetch(c, "CREATE TEMP TABLE mine (a int)");
            fetch(c, "INSERT INTO mine SELECT generate_series(1, ?)", 9);
            Object sum = fetch(c, "SELECT sum(a) FROM mine");
            fetch(c, "DROP TABLE mine");
            return List.of(first, rest, sum, refused(() -> fetch(c, "SELECT * FROM mine")));
        }
    }

    static Object batch() throws Exception {
        List<Object> seen = new ArrayList<>();
        for (String rewrite : new String[] {"false", "true"}) {
            try (Connection c = connect("reWriteBatchedInserts", rewrite);
                    PreparedStatement s =
                        c.prepareStatement("INSERT INTO smoke.item VALUES (?, ?)")) {
                for (int i = 0; i < 500; i++) {
                    s.setInt(1, 1000 + i);
                    s.setString(2, "batch");
                    s.addBatch();
                }
                seen.add(s.executeBatch().length);
                seen.add(fetch("SELECT count(*) FROM smoke.item WHERE name = 'batch'"));
                s.setInt(1, 2000);
                s.setString(2, "batch");
                s.addBatch();
                s.setInt(1, 1000);
                s.addBatch();
                seen.add(refused(() -> s.executeBatch()));
                seen.add(fetch("DELETE FROM smoke.item WHERE name = 'batch'"));
            }
        }
        return seen;
    }

    static Object generatedKeys() throws Exception {
        try (Connection c = connect(); PreparedStatement s = c.prepareStatement(
                "INSERT INTO smoke.counted (name) VALUES (?)", new String[] {"id"})) {
            s.setString(1, "a");
            s.executeUpdate();
            return List.of(read(s.getGeneratedKeys()), fetch(c, "SELECT lastval()"));
        }
    }

    static Object copy() throws Exception {
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 100_000; i++) {
            lines.append(i).append("\tbody of row ").append(i).append(' ')
                .append("x".repeat(i % 40)).append('\n');
        }
        CopyManager copy = main.unwrap(PGConnection.class).getCopyAPI();
        long in = copy.copyIn("COPY smoke.bulk FROM STDIN", new StringReader(lines.toString()));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        long back = copy.copyOut("COPY (SELECT * FROM smoke.bulk ORDER BY id) TO STDOUT", out);
        Object bad = refused(() -> copy.copyIn("COPY smoke.bulk FROM STDIN",
            new ByteArrayInputStream("x\tnot an int\n".getBytes())));
        CopyIn given = copy.copyIn("COPY smoke.bulk FROM STDIN");
        byte[] row = "1\tgiven up\n".getBytes();
        given.writeToCopy(row, 0, row.length);
        given.cancelCopy();
        return List.of(in, back, digest(out.toByteArray()),
            out.toString(StandardCharsets.UTF_8).contentEquals(lines), bad,
            fetch("SELECT count(*) FROM smoke.bulk"));
    }

    static Object listen() throws Exception {
        fetch("LISTEN smoke_news");
        for (int i = 0; i < 3; i++) {
            fetch("SELECT pg_notify('smoke_news', ?)", "news " + i);
        }
        List<String> got = new ArrayList<>();
        boolean complete = eventually(() -> {
            fetch("SELECT 1");
            PGNotification[] some = main.unwrap(PGConnection.class).getNotifications();
            for (PGNotification n : some == null ? new PGNotification[0] : some) {
                got.add(n.getName() + ":" + n.getParameter());
            }
            return got.size() >= 3;
        });
        fetch("UNLISTEN *");
        return List.of(complete, got);
    }

    static Object cancel() throws Exception {
        try (Connection c = connect(); Statement s = c.createStatement()) {
            s.setQueryTimeout(1);
            Object end = refused(() -> s.executeQuery("SELECT pg_sleep(60)"));
            s.setQueryTimeout(0);
            return List.of(end, fetch(c, "SELECT 'usable'"));
        }
    }

    static Object largeObject() throws Exception {
        main.setAutoCommit(false);
        try {
            LargeObjectManager manager = main.unwrap(PGConnection.class).getLargeObjectAPI();
            long oid = manager.createLO(LargeObjectManager.READWRITE);
            byte[] data = new byte[300_000];
            Arrays.fill(data, (byte) 7);
            LargeObject object = manager.open(oid);
            object.write(data);
            object.seek(100_000);
            byte[] back = object.read(250_000);
            object.close();
            manager.delete(oid);
            main.commit();
            return digest(back);
        } finally {
            main.setAutoCommit(true);
        }
    }

    static Object bigRow() throws Exception {
        String big = "0123456789abcdef".repeat(5 * 1024 * 1024 / 16);
        List<?> row = (List<?>) ((List<?>) fetch("SELECT ?::text, length(?::text)", big, big)).get(0);
        return List.of(digest(row.get(0).toString().getBytes()), row.get(0).equals(big), row.get(1));
    }

    static Object manyColumns() throws Exception {
        StringBuilder sql = new StringBuilder("SELECT 0");
        for (int i = 1; i < 1600; i++) {
            sql.append(", ").append(i);
        }
        return ((List<?>) ((List<?>) fetch(sql.toString())).get(0)).size();
    }

    static Object multi() throws Exception {
        try (Statement s = main.createStatement()) {
            s.execute("SELECT 1; SELECT 2, 3; SELECT 4 WHERE false");
            List<Object> seen = new ArrayList<>();
            do {
                seen.add(read(s.getResultSet()));
            } while (s.getMoreResults());
            seen.add(s.execute(""));
            seen.add(refused(() -> s.execute("INSERT INTO smoke.item VALUES (20, 'x'); SELECT 1/0")));
            seen.add(fetch("SELECT count(*) FROM smoke.item WHERE id = 20"));
            return seen;
        }
    }

    static Object notices() throws Exception {
        try (Statement s = main.createStatement()) {
            List<Object> seen = new ArrayList<>(read(s.executeQuery("SELECT smoke.shout('hey')")));
            for (SQLWarning w = s.getWarnings(); w != null; w = w.getNextWarning()) {
                seen.add(w.getSQLState() + " " + w.getMessage());
            }
            return seen;
        }
    }

    static Object textAndBytes() throws Exception {
        String text = "Grüße, Ω, 漢字, 🐘, \u0301, \t\r\n";
        byte[] data = new byte[256 * 40];
        for (int i = 0; i < data.length; i++) {
            data[i] = (byte) i;
        }
        List<?> row = (List<?>) ((List<?>) fetch("SELECT ?::text, length(?), ?::bytea", text, text,
            data)).get(0);
        return List.of(text.equals(row.get(0)), row.get(1), digest((byte[]) row.get(2)));
    }

    static Object arrays() throws Exception {
        Array numbers = main.createArrayOf("int4", new Integer[] {1, 2, null});
        Array texts = main.createArrayOf("text", new String[] {"a", "b\"c", "d,e", "{f}"});
        return fetch("SELECT ?::int[], ?::text[], '{{1,2},{3,4}}'::int[], '{}'::text[]", numbers,
            texts);
    }

    static Object userTypes() throws Exception {
        for (int i = 0; i < 8; i++) {
            fetch("INSERT INTO smoke.item (id, name, mood, amount, place) VALUES (?, 'typed', "
                + "?::smoke.mood, ?, ROW(?, ?)::smoke.place)", 30 + i, "happy", 5 + i, i, "here");
        }
        return List.of(fetch("SELECT mood, amount, place FROM smoke.item WHERE name = 'typed' "
            + "ORDER BY id"), refused(() -> fetch("SELECT ?::smoke.mood", "angry")),
            refused(() -> fetch("SELECT ?::smoke.positive", -1)));
    }

    static Object advisoryLocks() throws Exception {
        try (Connection other = connect()) {
            return List.of(fetch("SELECT pg_try_advisory_lock(11)"),
                fetch("SELECT pg_try_advisory_lock(11)"),
                fetch(other, "SELECT pg_try_advisory_lock(11)"),
                fetch("SELECT pg_advisory_unlock(11)"),
                fetch(other, "SELECT pg_try_advisory_lock(11)"),
                fetch("SELECT pg_advisory_unlock(11)"),
                fetch(other, "SELECT pg_try_advisory_lock(11)"));
        }
    }

    static Object abruptDisconnect() throws Exception {
        Connection victim = connect();
        fetch(victim, "SELECT pg_advisory_lock(77)");
        victim.setAutoCommit(false);
        fetch(victim, "INSERT INTO smoke.item VALUES (77, 'never')");
        victim.abort(Executors.newSingleThreadExecutor(r -> {
            Thread thread = new Thread(r);
            thread.setDaemon(true);
            return thread;
        }));
        boolean freed = eventually(() -> ((List<?>) ((List<?>) fetch(
            "SELECT pg_try_advisory_lock(77)")).get(0)).get(0));
        return List.of(freed, fetch("SELECT pg_advisory_unlock(77)"),
            fetch("SELECT count(*) FROM smoke.item WHERE id = 77"));
    }

    public static void main(String[] arguments) throws Exception {
        main = connect("ApplicationName", "smoke");
        run("simple_query", () -> fetch("SELECT 1, 'two', NULL, true, 4.5::float8, 1.10::numeric"));
        run("parameters", SmokeJdbc::parameters);
        run("errors_and_recovery", SmokeJdbc::errors);
        run("transactions_and_savepoints", SmokeJdbc::transactions);
        run("prepared_statements", SmokeJdbc::prepared);
        run("many_prepared_statements", SmokeJdbc::manyPrepared);
        run("simple_mode", SmokeJdbc::simpleMode);
        run("settings", SmokeJdbc::settings);
        run("search_path", SmokeJdbc::searchPath);
        run("cursors", SmokeJdbc::cursors);
        run("hold_cursor_and_temp_table", SmokeJdbc::holdCursorAndTempTable);
        run("batch", SmokeJdbc::batch);
        run("generated_keys", SmokeJdbc::generatedKeys);
        run("copy_in_and_out", SmokeJdbc::copy);
        run("listen_and_notify", SmokeJdbc::listen);
        run("cancel", SmokeJdbc::cancel);
        run("large_object", SmokeJdbc::largeObject);
        run("big_row", SmokeJdbc::bigRow);
        run("many_columns", SmokeJdbc::manyColumns);
        run("multi_statement", SmokeJdbc::multi);
        run("notices", SmokeJdbc::notices);
        run("text_and_bytes", SmokeJdbc::textAndBytes);
        run("arrays", SmokeJdbc::arrays);
        run("user_types", SmokeJdbc::userTypes);
        run("advisory_locks", SmokeJdbc::advisoryLocks);
        run("abrupt_disconnect", SmokeJdbc::abruptDisconnect);
        main.close();
        System.exit(failures == 0 ? 0 : 1);
    }
}
