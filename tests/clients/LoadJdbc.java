// pgjdbc as tests/clients/load.py: plain and prepared statements, portals in a transaction.
// Run with: java -cp postgresql.jar LoadJdbc.java

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class LoadJdbc {
    static void expect(long seen, long wanted) {
        if (seen != wanted) {
            throw new IllegalStateException(seen + " instead of " + wanted);
        }
    }

    static long sum(ResultSet rows) throws SQLException {
        long sum = 0;
        while (rows.next()) {
            sum += rows.getLong(1);
        }
        return sum;
    }

    static void read(Connection connection, PreparedStatement books, int author)
        throws SQLException {
        try (Statement plain = connection.createStatement()) {
            String text = "SELECT count(*) FROM book WHERE title <> 'ü\\'";
            expect(sum(plain.executeQuery(text)), 1000);
        }
        books.setInt(1, author);
        expect(sum(books.executeQuery()), 10L * author + 4500);
        connection.setAutoCommit(false);
        try (Statement portions = connection.createStatement()) {
            portions.setFetchSize(100);
            expect(sum(portions.executeQuery("SELECT id FROM book")), 500500);
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    static void write(Connection connection) throws SQLException {
        try (PreparedStatement insert =
                 connection.prepareStatement("INSERT INTO visit (who) VALUES (?)")) {
            insert.setString(1, "jdbc");
            insert.executeUpdate();
        }
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
            + "/" + System.getenv("PGDATABASE") + "?prepareThreshold=3&user="
            + System.getenv("PGUSER");
        int written = 0;
        int refused = 0;
        try (Connection connection = DriverManager.getConnection(url);
             PreparedStatement books =
                 connection.prepareStatement("SELECT id FROM book WHERE author_id = ?")) {
            for (int turn = 1; System.in.available() == 0; ++turn) {
                read(connection, books, turn % 100 + 1);
                try {
                    write(connection);
                    ++written;
                } catch (SQLException error) {
                    if (!"25006".equals(error.getSQLState())) {
                        throw error;
                    }
                    ++refused;
                }
                System.out.println(written + " " + refused);
            }
        }
    }
}
