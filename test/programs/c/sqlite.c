// sqlite DIRECTORY: a database of 10,000 rows in a file: both kinds of journal, two
// connections that lock each other out, shared memory, a rollback, a crash,
// backup, vacuum, and what the library's own checks say of it.
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int show(void *what, int n, char **v, char **names) {
	if (what) printf("%s: ", (char *)what);
	for (int i = 0; i < n; i++) printf("%s%s", v[i] ? v[i] : "NULL", i < n - 1 ? "|" : "\n");
	return 0;
}

static void run(sqlite3 *db, const char *sql) {
	char *message = 0;
	int err = sqlite3_exec(db, sql, show, 0, &message);
	if (err) printf("%.40s: %d %s (extended %d)\n", sql, err, message, sqlite3_extended_errcode(db));
	sqlite3_free(message);
}

static sqlite3 *connect(const char *path) {
	sqlite3 *db;
	int err = sqlite3_open(path, &db);
	if (err) printf("open: %d %s\n", err, sqlite3_errmsg(db));
	return db;
}

static void insert(sqlite3 *db, int from, int to) {
	sqlite3_stmt *s;
	sqlite3_prepare_v2(db, "INSERT INTO people (id, name, age, note) VALUES (?, ?, ?, ?)", -1, &s, 0);
	unsigned x = from + 1;
	for (int i = from; i < to; i++) {
		char name[32], note[300];
		x = x * 1664525 + 1013904223;
		snprintf(name, sizeof name, "person %u", x >> 12);
		memset(note, 'a' + i % 26, sizeof note);
		sqlite3_bind_int(s, 1, i);
		sqlite3_bind_text(s, 2, name, -1, SQLITE_TRANSIENT);
		sqlite3_bind_int(s, 3, x >> 25);
		sqlite3_bind_blob(s, 4, note, x >> 24, SQLITE_TRANSIENT);
		if (sqlite3_step(s) != SQLITE_DONE) printf("insert %d: %s\n", i, sqlite3_errmsg(db));
		sqlite3_reset(s);
	}
	sqlite3_finalize(s);
}

static void sizes(const char *path) {
	static const char *ends[] = {"", "-journal", "-wal", "-shm"};
	for (int i = 0; i < 4; i++) {
		char name[300];
		struct stat st;
		snprintf(name, sizeof name, "%s%s", path, ends[i]);
		if (!stat(name, &st)) printf("  file%s: %lld bytes, mode %o\n", ends[i], (long long)st.st_size, st.st_mode);
	}
}

static void workload(const char *path, const char *journal) {
	char sql[100];
	unlink(path);
	sqlite3 *a = connect(path), *b = connect(path);
	snprintf(sql, sizeof sql, "PRAGMA page_size = 4096; PRAGMA journal_mode = %s; PRAGMA synchronous = FULL", journal);
	run(a, sql);
	run(a, "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, age INT, note BLOB); CREATE INDEX ages ON people (age, name)");
	run(a, "BEGIN");
	insert(a, 0, 10000);
	sizes(path);
	run(b, "SELECT count(*) FROM people"); // what was before the transaction
	run(b, "BEGIN IMMEDIATE");             // busy
	run(a, "COMMIT");
	run(b, "SELECT count(*), sum(age), sum(length(note)) FROM people");
	run(a, "BEGIN; DELETE FROM people WHERE age < 20; SELECT changes() > 0; ROLLBACK; SELECT count(*) FROM people");
	run(a, "BEGIN; UPDATE people SET age = age + 1 WHERE id % 3 = 0");
	run(b, "SELECT sum(age) FROM people");
	run(a, "COMMIT");
	run(b, "SELECT sum(age) FROM people");
	run(b, "SELECT age, count(*), min(name) FROM people GROUP BY age ORDER BY 2 DESC, 1 LIMIT 5");
	run(b, "SELECT name FROM people WHERE age = 7 ORDER BY name LIMIT 3");
	run(b, "WITH RECURSIVE f(i, v) AS (SELECT 1, 1 UNION ALL SELECT i + 1, v * 1.1 FROM f WHERE i < 20) SELECT printf('%.6f', max(v)) FROM f");
	run(a, "INSERT INTO people (id) VALUES (5)"); // there is one
	run(a, "DELETE FROM people WHERE id % 2");
	run(a, "PRAGMA wal_checkpoint(TRUNCATE)");
	sizes(path);
	run(a, "PRAGMA incremental_vacuum; VACUUM; PRAGMA integrity_check; PRAGMA page_count; PRAGMA freelist_count");
	sizes(path);
	sqlite3_close(b);
	sqlite3_close(a);
	sizes(path);
}

// A transaction whose process goes away is undone by the next one that opens the
// file: copy the files as they are in the middle of one.
static void crash(const char *path, const char *journal) {
	char copy[300], from[300], to[300], buf[65536];
	static const char *ends[] = {"", "-journal", "-wal"};
	snprintf(copy, sizeof copy, "%s.copy", path);
	sqlite3 *db = connect(path);
	char sql[100];
	snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s; PRAGMA cache_size = 5", journal);
	run(db, sql);
	run(db, "BEGIN; UPDATE people SET name = 'nobody'");
	for (int i = 0; i < 3; i++) {
		snprintf(from, sizeof from, "%s%s", path, ends[i]);
		snprintf(to, sizeof to, "%s%s", copy, ends[i]);
		unlink(to);
		FILE *in = fopen(from, "r"), *out;
		if (!in) continue;
		out = fopen(to, "w");
		size_t n, all = 0;
		while ((n = fread(buf, 1, sizeof buf, in))) all += fwrite(buf, 1, n, out);
		printf("copied%s: %s\n", ends[i], all ? "some" : "nothing");
		fclose(in), fclose(out);
	}
	run(db, "ROLLBACK");
	sqlite3_close(db);
	db = connect(copy);
	run(db, "SELECT count(*) FROM people WHERE name = 'nobody'; PRAGMA integrity_check");
	sqlite3_close(db);
}

static void others(const char *path) {
	sqlite3 *db = connect(path), *memory = connect(":memory:");
	sqlite3_backup *b = sqlite3_backup_init(memory, "main", db, "main");
	int err;
	while ((err = sqlite3_backup_step(b, 50)) == SQLITE_OK) {}
	printf("backup: %d, finish %d\n", err, sqlite3_backup_finish(b));
	run(memory, "SELECT count(*) FROM people; PRAGMA integrity_check");
	run(db, "PRAGMA mmap_size = 268435456; SELECT sum(length(note)) FROM people");
	run(db, "PRAGMA locking_mode = EXCLUSIVE; UPDATE people SET age = 1 WHERE id = 2");
	sqlite3 *second = connect(path);
	run(second, "SELECT count(*) FROM people"); // locked
	sqlite3_close(second);
	run(db, "CREATE TEMP TABLE sorted AS SELECT * FROM people ORDER BY name; SELECT count(*) FROM sorted");
	run(db, "ATTACH ':memory:' AS other; CREATE TABLE other.t AS SELECT age, avg(id) AS m FROM people GROUP BY age; SELECT round(sum(m), 3) FROM other.t");
	run(db, "SELECT nonsense FROM nowhere");
	sqlite3_close(memory);
	sqlite3_close(db);
	FILE *f = fopen(path, "r+");
	fseek(f, 4096 * 3, SEEK_SET), fwrite("damage", 1, 6, f), fclose(f);
	db = connect(path);
	run(db, "SELECT count(*) FROM people NOT INDEXED WHERE length(note) >= 0");
	run(db, "SELECT integrity_check <> 'ok' FROM pragma_integrity_check(1)");
	sqlite3_close(db);
	db = connect("/nonexistent/file");
	sqlite3_close(db);
}

int main(int argc, char **argv) {
	static const char *journals[] = {"DELETE", "TRUNCATE", "PERSIST", "WAL"};
	char path[256];
	printf("sqlite %s, argument %d\n", sqlite3_libversion(), argc - 1);
	snprintf(path, sizeof path, "%s/database", argv[1]);
	for (int i = 0; i < 4; i++) {
		printf("== %s\n", journals[i]);
		workload(path, journals[i]);
		crash(path, journals[i]);
	}
	others(path);
	return 0;
}
