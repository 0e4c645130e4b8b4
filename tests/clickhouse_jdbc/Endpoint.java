import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** What a JDBC program does at the endpoint; one line for each thing that works. */
public final class Endpoint {
    private Endpoint() {}

    public static void main(String[] arguments) throws Exception {
        Class.forName("com.clickhouse.jdbc.Driver");
        for (String compress : new String[] {"false", "true"}) {
            try (Connection connection = connect("operator-token", compress)) {
                queries(connection, compress);
                metadata(connection);
                inserts(connection, compress);
                errors(connection);
            }
        }
        try (Connection connection = connect("reader-token", "true")) {
            aReader(connection);
        }
    }

    private static Connection connect(String token, String compress) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", "anybody");
        properties.setProperty("password", token);
        properties.setProperty("compress", compress);
        return DriverManager.getConnection(System.getenv("ENDPOINT_JDBC_URL"), properties);
    }

    private static void queries(Connection connection, String compress) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT number, toString(number) AS s FROM numbers(100000)")) {
            long sum = 0;
            while (rows.next()) {
                sum += rows.getLong(1);
                check(rows.getString("s").equals(Long.toString(rows.getLong(1))), "text");
            }
            check(sum == 4999950000L, "sum");
        }
        try (PreparedStatement prepared = connection.prepareStatement("SELECT ? + 1 AS n, ? AS s, toDateTime64('2026-01-05 09:00:00.5', 3, 'UTC') AS t")) {
            prepared.setInt(1, 41);
            prepared.setString(2, "it's a\\b");
            try (ResultSet rows = prepared.executeQuery()) {
                check(rows.next(), "a row");
                check(rows.getInt("n") == 42, "number");
                check(rows.getString("s").equals("it's a\\b"), "escaped text");
                Timestamp time = rows.getTimestamp("t");
                check(time.toInstant().equals(Instant.parse("2026-01-05T09:00:00.5Z")), "time " + time);
            }
        }
        System.out.println("queries compress=" + compress);
    }

    private static void metadata(Connection connection) throws SQLException {
        check(connection.isValid(5), "valid");
        check(connection.getMetaData().getDatabaseProductName().equals("ClickHouse"), "product");
        List<String> tables = new ArrayList<>();
        try (ResultSet rows = connection.getMetaData().getTables(null, "default", "%", null)) {
            while (rows.next()) {
                tables.add(rows.getString("TABLE_NAME"));
            }
        }
        check(tables.contains("segments") && tables.contains("otel_traces"), "tables " + tables);
        List<String> columns = new ArrayList<>();
        try (ResultSet rows = connection.getMetaData().getColumns(null, "default", "segments", "%")) {
            while (rows.next()) {
                columns.add(rows.getString("COLUMN_NAME"));
            }
        }
        check(columns.contains("segment"), "columns " + columns);
        System.out.println("metadata");
    }

    private static void inserts(Connection connection, String compress) throws SQLException {
        try (PreparedStatement prepared = connection.prepareStatement("INSERT INTO otel_logs (Body, EventName) VALUES (?, ?)")) {
            prepared.setString(1, "jdbc");
            prepared.setString(2, compress);
            prepared.executeUpdate();
            System.out.println("inserted");
        } catch (SQLException refused) {
            check(refused.getMessage().contains("Values"), "insert: " + refused.getMessage());
            System.out.println("values refused");
        }
    }

    private static void errors(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT nope FROM segments");
            throw new IllegalStateException("no error");
        } catch (SQLException error) {
            check(error.getErrorCode() == 47 || error.getMessage().contains("Code: 47"), "error: " + error);
        }
        System.out.println("errors");
    }

    private static void aReader(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            try (ResultSet rows = statement.executeQuery("SELECT count() FROM segments")) {
                check(rows.next(), "count");
            }
            try (ResultSet rows = statement.executeQuery("SELECT * FROM user_segments")) {
                throw new IllegalStateException("a reader sees persons");
            } catch (SQLException error) {
                check(error.getMessage().contains("may not read user_segments"), error.getMessage());
            }
        }
        System.out.println("reader");
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }
}
