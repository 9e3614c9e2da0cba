// pgjdbc as tests/clients/probe.py: Statement.cancel() from another thread.
// Run with: java -cp postgresql.jar ProbeJdbc.java

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Map;
import java.util.Properties;

public class ProbeJdbc {
    static final Map<String, String> VARIABLES = Map.of("PGUSER", "user", "PGPASSWORD", "password",
        "PGSSLMODE", "sslmode", "PGSSLROOTCERT", "sslrootcert");

    static Connection main;
    static Statement sleeping;
    static Thread sleeper;
    static volatile String end;

    static Connection connect() throws SQLException {
        Properties p = new Properties();
        VARIABLES.forEach((variable, property) -> {
            if (System.getenv(variable) != null) {
                p.setProperty(property, System.getenv(variable));
            }
        });
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":"
            + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), p);
    }

    static String run(Statement statement, String sql) {
        try (ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return "= " + rows.getString(1);
        } catch (SQLException error) {
            return "! " + error.getSQLState();
        }
    }

    static String ask(String sql) throws SQLException {
        try (Statement statement = main.createStatement()) {
            return run(statement, sql);
        }
    }

    static void sleep() throws SQLException {
        sleeping = main.createStatement();
        sleeper = new Thread(() -> end = run(sleeping, "SELECT pg_sleep(60)"));
        sleeper.start();
    }

    static String cancel() throws Exception {
        sleeping.cancel();
        sleeper.join();
        sleeping.close();
        return end;
    }

    public static void main(String[] arguments) throws Exception {
        try {
            main = connect();
        } catch (SQLException error) {
            StringBuilder why = new StringBuilder("!");
            for (Throwable at = error; at != null; at = at.getCause()) {
                why.append(' ').append(String.valueOf(at.getMessage()).replaceAll("\\s+", " "));
            }
            System.out.println(why);
            return;
        }
        System.out.println("= ready");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (line.equals("sleep")) {
                sleep();
            } else {
                System.out.println(line.equals("cancel") ? cancel()
                    : ask(line.substring("ask ".length())));
            }
        }
        main.close();
    }
}
