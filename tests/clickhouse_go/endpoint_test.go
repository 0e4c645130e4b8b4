// Package endpoint_test asks the endpoint what the Collector's exporter asks it, with the driver the
// exporter uses.
package endpoint_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const (
	describe = `DESC TABLE "default"."otel_logs"`
	create   = `CREATE TABLE IF NOT EXISTS "default"."otel_logs" (x Int8) ENGINE = MergeTree ORDER BY x`
	insert   = `INSERT INTO "default"."otel_logs" (Timestamp, TraceId, Body, ResourceAttributes, LogAttributes, EventName)`
	rows     = 3000
)

var compressions = map[string]clickhouse.CompressionMethod{
	"none":    clickhouse.CompressionNone,
	"lz4":     clickhouse.CompressionLZ4,
	"zstd":    clickhouse.CompressionZSTD,
	"gzip":    clickhouse.CompressionGZIP,
	"deflate": clickhouse.CompressionDeflate,
}

func connect(t *testing.T, password string, compression clickhouse.CompressionMethod) driver.Conn {
	t.Helper()
	address := os.Getenv("ENDPOINT_ADDRESS")
	if address == "" {
		t.Skip("ENDPOINT_ADDRESS names no endpoint")
	}
	connection, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{address},
		Protocol:    clickhouse.HTTP,
		Auth:        clickhouse.Auth{Database: "default", Username: "analyzer", Password: password},
		Compression: &clickhouse.Compression{Method: compression, Level: 3},
		Settings:    clickhouse.Settings{"async_insert": true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// The exporter's whole life: handshake, ping, DDL, DESCRIBE, batches.
func TestWriter(t *testing.T) {
	for name, compression := range compressions {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			connection := connect(t, os.Getenv("ENDPOINT_WRITER"), compression)
			version, err := connection.ServerVersion()
			if err != nil {
				t.Fatal(err)
			}
			if version.DisplayName != "mlp-analyzer" {
				t.Errorf("display name %q", version.DisplayName)
			}
			for _, statement := range []string{create, "CREATE DATABASE IF NOT EXISTS default"} {
				if err := connection.Exec(ctx, statement); err != nil {
					t.Fatal(err)
				}
			}
			if err := connection.Ping(ctx); err != nil {
				t.Fatal(err)
			}
			described, err := connection.Query(ctx, describe)
			if err != nil {
				t.Fatal(err)
			}
			columns := 0
			for described.Next() {
				var cells [7]string
				if err := described.Scan(&cells[0], &cells[1], &cells[2], &cells[3], &cells[4], &cells[5], &cells[6]); err != nil {
					t.Fatal(err)
				}
				columns++
			}
			if err := described.Err(); err != nil || columns < 16 {
				t.Fatalf("%d columns, %v", columns, err)
			}
			batch, err := connection.PrepareBatch(ctx, insert)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < rows; i++ {
				attributes := map[string]string{"compression": name, "number": fmt.Sprint(i)}
				if err := batch.Append(time.Now(), "trace", "a\n\nDROP TABLE otel_logs\n\n", attributes, attributes, "go.test"); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			if err := connection.Exec(ctx, "DROP TABLE otel_logs"); err == nil {
				t.Error("a writer may drop a table")
			}
		})
	}
}

// What a person with the same driver sees of it.
func TestOperator(t *testing.T) {
	for name, compression := range compressions {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			connection := connect(t, os.Getenv("ENDPOINT_OPERATOR"), compression)
			var count uint64
			if err := connection.QueryRow(ctx, "SELECT count() FROM otel_logs WHERE EventName = {event:String}", clickhouse.Named("event", "go.test")).Scan(&count); err != nil {
				t.Fatal(err)
			}
			if count != uint64(rows*len(compressions)) {
				t.Errorf("%d rows", count)
			}
			found, err := connection.Query(ctx, "SELECT number, toString(number), map('a', number) FROM numbers(200000)")
			if err != nil {
				t.Fatal(err)
			}
			seen := uint64(0)
			for found.Next() {
				var number uint64
				var text string
				var pairs map[string]uint64
				if err := found.Scan(&number, &text, &pairs); err != nil {
					t.Fatal(err)
				}
				if number != seen || pairs["a"] != seen {
					t.Fatalf("row %d is %d", seen, number)
				}
				seen++
			}
			if err := found.Err(); err != nil || seen != 200000 {
				t.Fatalf("%d rows, %v", seen, err)
			}
			if err := connection.QueryRow(ctx, "SELECT absent FROM otel_logs").Scan(&count); err == nil {
				t.Error("a wrong query has no error")
			} else if !strings.Contains(err.Error(), "code: 47") {
				t.Errorf("the error has lost its code: %v", err)
			}
		})
	}
}
