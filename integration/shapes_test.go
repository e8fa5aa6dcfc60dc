package integration

import (
	"fmt"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	t.Parallel()
	long, wide := strings.Repeat("x", 63), strings.Repeat("é", 31)+"x"
	names := []string{
		"select", "Mixed Case", "a.b", `with "quotes" and ' too`, "ünï", "日本語", "😀", long, wide, `back\slash`, "1digit", "$1", "%s %d", "line\nbreak", "tab\t", "t", "u", "v", "o", "rows", "null", "a,b", "(x)", "--", "/*", "{}",
	}
	columns := []string{
		"order", "Order", "a.b", `"`, "'", "é", "😀", long[:62] + "c", "t", "u", "v", "o", "c", "h", "w", "i", "g", "n", "line\nbreak", `\`, "$1", "%s", "pgbridge_key0", "user", "null", "one", "here", "gone",
	}
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	var list []string
	for _, c := range columns {
		list = append(list, quote(c)+" text")
	}
	before, changes := `CREATE SCHEMA "Schema.of ""odd"" names"; `, []string{}
	for i, n := range names {
		table := `"Schema.of ""odd"" names".` + quote(n)
		key := quote(columns[i%len(columns)])
		primary, full := fmt.Sprintf(", PRIMARY KEY (%s)", key), ""
		if i%2 == 1 {
			primary, full = "", fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL;", table)
		}
		before += fmt.Sprintf("CREATE TABLE %s (%s%s); %s INSERT INTO %[1]s VALUES ('1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1', '1');",
			table, strings.Join(list, ", "), primary, full)
		changes = append(changes, fmt.Sprintf(`INSERT INTO %s (%s) VALUES ('2'), ('3'); UPDATE %[1]s SET %[3]s = 'x' WHERE %[2]s <> '3'; UPDATE %[1]s SET %[2]s = 'y' WHERE %[2]s = '3'; DELETE FROM %[1]s WHERE %[2]s = '2'`,
			table, key, quote(columns[(i+1)%len(columns)])))
	}
	tell(t, []story{{name: "odd", before: before, changes: changes}})
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	tell(t, []story{{
		name: "levels",
		before: `CREATE TABLE event (id int, at date, kind text, note text, PRIMARY KEY (id, at, kind)) PARTITION BY RANGE (at);
			CREATE TABLE event_2023 PARTITION OF event FOR VALUES FROM ('2023-01-01') TO ('2024-01-01') PARTITION BY LIST (kind);
			CREATE TABLE event_2023_a PARTITION OF event_2023 FOR VALUES IN ('a') PARTITION BY HASH (id);
			CREATE TABLE event_2023_a0 PARTITION OF event_2023_a FOR VALUES WITH (MODULUS 2, REMAINDER 0);
			CREATE TABLE event_2023_a1 PARTITION OF event_2023_a FOR VALUES WITH (MODULUS 2, REMAINDER 1);
			CREATE TABLE event_2023_rest PARTITION OF event_2023 DEFAULT;
			CREATE TABLE event_2024 (dropped int, note text, kind text NOT NULL, gone int, at date NOT NULL, id int NOT NULL);
			ALTER TABLE event_2024 DROP dropped, DROP gone;
			ALTER TABLE event ATTACH PARTITION event_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
			CREATE TABLE event_rest PARTITION OF event DEFAULT;
			INSERT INTO event SELECT n, '2022-12-01'::date + n * 10, chr(97 + n % 3), 'old' FROM generate_series(1, 100) n`,
		changes: []string{
			`INSERT INTO event SELECT n, '2022-12-01'::date + n, chr(97 + n % 3), 'new' FROM generate_series(1000, 1100) n`,
			`UPDATE event SET note = note || '!' WHERE id % 2 = 0`,
			`UPDATE event SET at = at + 365 WHERE id % 3 = 0`, // into other partitions
			`UPDATE event SET kind = 'b', note = 'moved' WHERE kind = 'a'`,
			`UPDATE event SET kind = 'a', id = -id WHERE id % 5 = 0`,
			`BEGIN; UPDATE event SET at = '2023-05-05' WHERE id = 7; UPDATE event SET at = '2024-05-05' WHERE id = 7; DELETE FROM event WHERE id = 7; INSERT INTO event VALUES (7, '2023-05-05', 'a', 'again'); COMMIT`,
			`INSERT INTO event_2024 (id, at, kind, note) VALUES (5000, '2024-06-06', 'z', 'into the leaf')`,
			`UPDATE event_2024 SET note = 'by the leaf' WHERE id % 7 = 0`,
			`DELETE FROM event_2023_rest WHERE id % 4 = 0`,
			`DELETE FROM event WHERE id % 11 = 0`,
		},
	}, {
		name: "without a key",
		before: `CREATE TABLE log (kind int, note text) PARTITION BY LIST (kind);
			CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1, 2); CREATE TABLE log_x (note text, kind int); ALTER TABLE log ATTACH PARTITION log_x DEFAULT;
			ALTER TABLE log REPLICA IDENTITY FULL; ALTER TABLE log_1 REPLICA IDENTITY FULL; ALTER TABLE log_x REPLICA IDENTITY FULL;
			INSERT INTO log SELECT n % 4, 'same' FROM generate_series(1, 40) n`,
		changes: []string{
			`DELETE FROM log WHERE ctid = '(0,1)'`,
			`UPDATE log SET kind = 9 WHERE ctid = '(0,3)'`,
			`UPDATE log SET kind = 1, note = NULL WHERE kind = 3`,
			`INSERT INTO log VALUES (NULL, NULL), (1, '')`,
			`DELETE FROM log WHERE kind = 2 AND ctid < '(0,9)'`,
		},
	}, {
		name: "truncated",
		before: `CREATE TABLE part (id int GENERATED ALWAYS AS IDENTITY, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k); CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1); CREATE TABLE part_2 PARTITION OF part DEFAULT;
			INSERT INTO part (k) SELECT n % 3 FROM generate_series(1, 9) n`,
		changes: []string{`TRUNCATE part RESTART IDENTITY`, `INSERT INTO part (k) VALUES (1), (2)`, `UPDATE part SET k = 1 - k`},
	}})
}

func TestInheritance(t *testing.T) {
	t.Parallel()
	tell(t, []story{{
		name: "same keys in parent and child",
		before: `CREATE TABLE parent (id int PRIMARY KEY, note text); CREATE TABLE child (more text, PRIMARY KEY (id)) INHERITS (parent); CREATE TABLE grandchild (PRIMARY KEY (id)) INHERITS (child);
			CREATE TABLE keyless (note text); CREATE TABLE keyless_child () INHERITS (keyless);
			ALTER TABLE keyless REPLICA IDENTITY FULL; ALTER TABLE keyless_child REPLICA IDENTITY FULL;
			INSERT INTO parent SELECT n, 'p' FROM generate_series(1, 9) n; INSERT INTO child SELECT n, 'c', 'm' FROM generate_series(1, 9) n; INSERT INTO grandchild SELECT n, 'g' FROM generate_series(1, 9) n;
			INSERT INTO keyless SELECT 'same' FROM generate_series(1, 3); INSERT INTO keyless_child SELECT 'same' FROM generate_series(1, 3)`,
		changes: []string{
			`UPDATE ONLY parent SET note = 'only' WHERE id < 4`,
			`UPDATE parent SET note = note || '+' WHERE id = 5`,
			`DELETE FROM ONLY parent WHERE id = 6`,
			`DELETE FROM child WHERE id = 7`,
			`UPDATE child SET id = id + 100 WHERE id = 8`,
			`UPDATE ONLY keyless SET note = 'only' WHERE ctid = '(0,1)'`,
			`DELETE FROM ONLY keyless WHERE ctid = '(0,2)'`,
			`DELETE FROM keyless_child WHERE ctid = '(0,2)'`,
			`TRUNCATE ONLY parent, ONLY keyless`,
			`INSERT INTO parent VALUES (1, 'again')`,
			`INSERT INTO keyless VALUES ('again')`,
			`TRUNCATE child`,
		},
	}})
}

func TestGeneratedColumns(t *testing.T) {
	t.Parallel()
	tell(t, []story{{
		name: "stored and identity",
		before: `CREATE TABLE area (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, w int, s int GENERATED ALWAYS AS (w * 2) STORED, h int, u text GENERATED ALWAYS AS (upper('x' || w::text)) STORED, big text);
			CREATE TABLE second (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 5), note text, big text);
			CREATE TABLE may (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, note text);
			CREATE TABLE keyless (n int GENERATED ALWAYS AS IDENTITY, note text); ALTER TABLE keyless REPLICA IDENTITY FULL;
			ALTER TABLE area ALTER big SET STORAGE EXTERNAL; ALTER TABLE second ALTER big SET STORAGE EXTERNAL;
			INSERT INTO area (w, h, big) SELECT n, n, repeat('x', 5000) FROM generate_series(1, 9) n; INSERT INTO second (id, note, big) SELECT n, 'n', repeat('x', 5000) FROM generate_series(1, 9) n;
			INSERT INTO may (note) VALUES ('a'), ('b'); INSERT INTO keyless (note) VALUES ('a'), ('a'), (NULL)`,
		changes: []string{
			`INSERT INTO area (w, h) VALUES (10, 10), (NULL, 2)`,
			`UPDATE area SET w = w + 1 WHERE id < 5`,
			`UPDATE area SET id = DEFAULT WHERE id IN (1, 2)`,
			`UPDATE area SET id = DEFAULT, w = 7 WHERE id = 3`,
			`INSERT INTO area (id, w) OVERRIDING SYSTEM VALUE VALUES (1000, 1)`,
			`UPDATE second SET note = 'changed' WHERE id < 3`,
			`UPDATE second SET n = DEFAULT WHERE id = 4`,
			`UPDATE second SET id = id + 50, n = DEFAULT WHERE id = 5`,
			`BEGIN; INSERT INTO second (id, note) VALUES (70, 'new'); UPDATE second SET n = DEFAULT WHERE id = 70; UPDATE second SET note = 'newer' WHERE id = 70; COMMIT`,
			`UPDATE may SET id = DEFAULT WHERE note = 'a'; UPDATE may SET id = 77 WHERE note = 'b'; INSERT INTO may VALUES (78, 'c')`,
			`UPDATE keyless SET note = 'b' WHERE n = 1; UPDATE keyless SET n = DEFAULT WHERE n = 2; DELETE FROM keyless WHERE note IS NULL`,
			`DELETE FROM area WHERE id = 4; DELETE FROM second WHERE id = 6`,
		},
	}, {
		name: "stored in the primary key", until: 17,
		before: `CREATE TABLE item (a int, b int GENERATED ALWAYS AS (a * 2) STORED, note text, PRIMARY KEY (a, b)); ALTER TABLE item REPLICA IDENTITY FULL; INSERT INTO item (a, note) SELECT n, 'old' FROM generate_series(1, 5) n`,
		changes: []string{
			`INSERT INTO item (a, note) VALUES (9, 'new')`, `UPDATE item SET note = 'changed' WHERE a = 1`, `UPDATE item SET a = 7 WHERE a = 2`, `DELETE FROM item WHERE b = 6`, `UPDATE item SET a = a + 100`,
		},
	}, {
		name: "stored without a key", until: 17, // from 18 on check refuses it
		before: `CREATE TABLE keyless (note text, s text GENERATED ALWAYS AS (note || '!') STORED); ALTER TABLE keyless REPLICA IDENTITY FULL; INSERT INTO keyless VALUES ('a'), ('a'), (NULL)`,
		changes: []string{
			`UPDATE keyless SET note = 'b' WHERE ctid = '(0,1)'; INSERT INTO keyless VALUES ('c')`, `DELETE FROM keyless WHERE note IS NULL`, `DELETE FROM keyless WHERE s = 'a!'`,
		},
	}, {
		name: "virtual", since: 18,
		before: `CREATE TABLE area (id int PRIMARY KEY, w int, a int GENERATED ALWAYS AS (w * w) VIRTUAL, s int GENERATED ALWAYS AS (w + 1) STORED, note text); INSERT INTO area (id, w) VALUES (1, 1), (2, 2)`,
		changes: []string{
			`INSERT INTO area (id, w) VALUES (3, 3)`, `UPDATE area SET w = w * 10, note = 'x' WHERE id > 1`, `DELETE FROM area WHERE id = 1`,
		},
	}})
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	change := []string{
		`INSERT INTO item SELECT n, n, 'n' || n, 'new', repeat('t', n * 100) FROM generate_series(50, 60) n`,
		`UPDATE item SET note = 'seen' WHERE a % 2 = 0`,
		`UPDATE item SET note = NULL, toast = toast || 'x' WHERE a % 3 = 0`,
		`UPDATE item SET b = b + 1000 WHERE a % 4 = 0`,
		`UPDATE item SET a = a + 1000 WHERE a % 5 = 0`,
		`BEGIN; UPDATE item SET a = a + 5000, b = b + 5000, c = c || 'k' WHERE a % 7 = 0; UPDATE item SET note = 'twice' WHERE a % 7 = 1; DELETE FROM item WHERE a % 14 = 1; COMMIT`,
		`DELETE FROM item WHERE a % 6 = 0`,
	}
	create := `CREATE TABLE item (a int, b int NOT NULL, c text NOT NULL, note text, toast text%s); ALTER TABLE item ALTER toast SET STORAGE EXTERNAL; %s;
		INSERT INTO item SELECT n, n, 'c' || n, 'old', repeat(chr(65 + n %% 26), n * 200) FROM generate_series(1, 40) n`
	var stories []story
	for _, s := range []struct{ name, columns, alter string }{
		{"default", ", PRIMARY KEY (a)", ""},
		{"two columns, not in order", ", PRIMARY KEY (c, a)", ""},
		{"key with included columns", ", PRIMARY KEY (b) INCLUDE (note)", ""},
		{"index beside a primary key", ", PRIMARY KEY (a)", "CREATE UNIQUE INDEX by_b ON item (b, c); ALTER TABLE item REPLICA IDENTITY USING INDEX by_b"},
		{"index alone", "", "CREATE UNIQUE INDEX by_b ON item (b); ALTER TABLE item REPLICA IDENTITY USING INDEX by_b"},
		{"index and another one", ", UNIQUE (c)", "CREATE UNIQUE INDEX by_b ON item (b); ALTER TABLE item REPLICA IDENTITY USING INDEX by_b"},
		{"full with a key", ", PRIMARY KEY (a)", "ALTER TABLE item REPLICA IDENTITY FULL"},
		{"full without", "", "ALTER TABLE item REPLICA IDENTITY FULL"},
		{"full with a deferrable key", ", PRIMARY KEY (a) DEFERRABLE", "ALTER TABLE item REPLICA IDENTITY FULL"},
		{"full with a unique index", ", UNIQUE (a)", "ALTER TABLE item REPLICA IDENTITY FULL"},
	} {
		stories = append(stories, story{name: s.name, before: fmt.Sprintf(create, s.columns, s.alter), changes: change})
	}
	stories = append(stories, story{
		name: "only inserts", before: `CREATE TABLE item (a int); ALTER TABLE item REPLICA IDENTITY NOTHING; INSERT INTO item VALUES (1), (1)`,
		changes: []string{`INSERT INTO item VALUES (1), (NULL)`, `TRUNCATE item`, `INSERT INTO item VALUES (3)`},
	}, story{
		name: "every column is the key", before: `CREATE TABLE item (a int, b text, PRIMARY KEY (a, b)); INSERT INTO item VALUES (1, 'x'), (2, 'y')`,
		changes: []string{`UPDATE item SET b = 'z' WHERE a = 1`, `UPDATE item SET b = b`, `INSERT INTO item VALUES (3, '')`, `DELETE FROM item WHERE a = 2`},
	}, story{
		name: "the key is in TOAST", before: `CREATE TABLE item (k text PRIMARY KEY, n int); ALTER TABLE item ALTER k SET STORAGE EXTERNAL;
			INSERT INTO item SELECT n || repeat('k', 2500), n FROM generate_series(1, 5) n`,
		changes: []string{`UPDATE item SET n = n + 10`, `INSERT INTO item SELECT n || repeat('k', 2500), n FROM generate_series(6, 9) n`, `UPDATE item SET k = 'x' || k WHERE n < 13`, `DELETE FROM item WHERE n = 15`},
	})
	tell(t, stories)
}

func TestKeysThatChange(t *testing.T) {
	t.Parallel()
	tell(t, []story{{
		name:   "swap, shift, cycle",
		before: `CREATE TABLE item (id int PRIMARY KEY, note text); INSERT INTO item SELECT n, 'row ' || n FROM generate_series(1, 20) n`,
		changes: []string{
			`BEGIN; UPDATE item SET id = 0 WHERE id = 1; UPDATE item SET id = 1 WHERE id = 2; UPDATE item SET id = 2 WHERE id = 0; COMMIT`,
			`UPDATE item SET id = id + 100; UPDATE item SET id = id - 99`,
			`DO $$ BEGIN FOR i IN REVERSE 21 .. 2 LOOP UPDATE item SET id = id + 1 WHERE id = i; END LOOP; END $$`,
			`BEGIN; DELETE FROM item WHERE id = 3; INSERT INTO item VALUES (3, 'again'); UPDATE item SET note = 'and again' WHERE id = 3; UPDATE item SET id = 300 WHERE id = 3; INSERT INTO item VALUES (3, 'third'); COMMIT`,
			`BEGIN; INSERT INTO item VALUES (500, 'brief'); UPDATE item SET id = 501 WHERE id = 500; UPDATE item SET note = 'x' WHERE id = 501; DELETE FROM item WHERE id = 501; COMMIT`,
			`BEGIN; DELETE FROM item WHERE id = 5; UPDATE item SET id = 5 WHERE id = 6; UPDATE item SET note = 'was 6' WHERE id = 5; COMMIT`,
			`UPDATE item SET id = id WHERE id < 10; UPDATE item SET note = note`,
		},
	}, {
		name: "deferrable", // checked by nothing on the other side
		before: `CREATE TABLE item (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, name text UNIQUE DEFERRABLE); ALTER TABLE item REPLICA IDENTITY FULL;
			INSERT INTO item SELECT n, 'row ' || n FROM generate_series(1, 20) n`,
		changes: []string{
			`UPDATE item SET id = id + 1`,
			`UPDATE item SET id = 23 - id`,
			`UPDATE item SET name = CASE name WHEN 'row 1' THEN 'row 2' ELSE 'row 1' END WHERE name IN ('row 1', 'row 2')`,
			`BEGIN; INSERT INTO item VALUES (5, 'second 5'); DELETE FROM item WHERE id = 5 AND name <> 'second 5'; COMMIT`,
		},
	}, {
		name:   "equal but not the same",
		before: `CREATE TABLE number (k numeric PRIMARY KEY, n int); INSERT INTO number VALUES (1.0, 1), (2, 2); CREATE TABLE real (k float8 PRIMARY KEY, n int); INSERT INTO real VALUES (0, 1), ('NaN', 2)`,
		changes: []string{
			`UPDATE number SET k = 1.00 WHERE k = 1`, `BEGIN; UPDATE number SET n = 5 WHERE k = 1; DELETE FROM number WHERE k = 1; INSERT INTO number VALUES (1.000, 6); UPDATE number SET k = 1, n = 7 WHERE k = 1; COMMIT`,
			`UPDATE real SET k = '-0' WHERE k = 0; UPDATE real SET n = 3 WHERE k = 'NaN'; UPDATE real SET n = 9 WHERE k = 0`,
		},
	}})
}

func TestConstraints(t *testing.T) {
	t.Parallel()
	tell(t, []story{{
		name: "unique, swapped",
		before: `CREATE TABLE seat (id int PRIMARY KEY, who text UNIQUE, place int, EXCLUDE USING btree (place WITH =)); INSERT INTO seat SELECT n, 'p' || n, n FROM generate_series(1, 30) n;
			CREATE UNIQUE INDEX ON seat (lower(who)) WHERE id < 1000`,
		changes: []string{
			`BEGIN; UPDATE seat SET who = 'x' WHERE id = 1; UPDATE seat SET who = 'p1' WHERE id = 2; UPDATE seat SET who = 'p2' WHERE id = 1; COMMIT`,
			`BEGIN; UPDATE seat SET place = -place; UPDATE seat SET place = 31 + place; COMMIT`,
			`BEGIN; DELETE FROM seat WHERE id = 3; INSERT INTO seat VALUES (103, 'p3', 103); UPDATE seat SET who = 'p4x' WHERE id = 4; INSERT INTO seat VALUES (104, 'p4', 104); COMMIT`,
			`BEGIN; UPDATE seat SET who = 'p5x' WHERE id = 5; DELETE FROM seat WHERE id = 6; UPDATE seat SET who = 'p6' WHERE id = 5; INSERT INTO seat VALUES (105, 'p5', 105); COMMIT`,
		},
	}, {
		name:   "exclusion",
		before: `CREATE TABLE booking (id int PRIMARY KEY, during int4range, EXCLUDE USING gist (during WITH &&)); INSERT INTO booking VALUES (1, '[1,5)'), (2, '[5,9)')`,
		changes: []string{
			`BEGIN; UPDATE booking SET during = '[100,101)' WHERE id = 1; UPDATE booking SET during = '[1,5)' WHERE id = 2; UPDATE booking SET during = '[5,9)' WHERE id = 1; COMMIT`,
			`BEGIN; DELETE FROM booking WHERE id = 1; INSERT INTO booking VALUES (3, '[6,7)'); COMMIT`,
		},
	}, {
		name: "foreign keys",
		before: `CREATE TABLE head (id int PRIMARY KEY, tail int); CREATE TABLE tail (id int PRIMARY KEY, head int REFERENCES head ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED);
			ALTER TABLE head ADD FOREIGN KEY (tail) REFERENCES tail ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED;
			CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE, CHECK (id <> up)); CREATE TABLE leaf (id int PRIMARY KEY, tree int DEFAULT 1 REFERENCES tree ON DELETE SET DEFAULT);
			BEGIN; INSERT INTO head SELECT n, n FROM generate_series(1, 9) n; INSERT INTO tail SELECT n, n FROM generate_series(1, 9) n; COMMIT;
			INSERT INTO tree SELECT n, nullif(n / 2, 0) FROM generate_series(1, 31) n; INSERT INTO leaf SELECT n, n FROM generate_series(1, 31) n`,
		changes: []string{
			`BEGIN; INSERT INTO head VALUES (20, 20); INSERT INTO tail VALUES (20, 20); COMMIT`,
			`UPDATE head SET id = id + 100 WHERE id = 2`, `UPDATE tail SET id = id + 100 WHERE id = 3`, `DELETE FROM head WHERE id = 4`, `DELETE FROM tail WHERE id = 5`,
			`DELETE FROM tree WHERE id = 3`, `TRUNCATE head, tail`, `TRUNCATE tree CASCADE`,
		},
	}})
}

func TestTruncate(t *testing.T) {
	t.Parallel()
	tell(t, []story{{
		name: "several tables",
		before: `CREATE TABLE one (id serial PRIMARY KEY, note text); CREATE TABLE two (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, one int REFERENCES one); CREATE TABLE three (id bigserial PRIMARY KEY, two int REFERENCES two);
			CREATE TABLE lone (id serial PRIMARY KEY); CREATE TABLE keyless (note text); ALTER TABLE keyless REPLICA IDENTITY FULL;
			INSERT INTO one (note) SELECT 'n' FROM generate_series(1, 5); INSERT INTO two (one) SELECT id FROM one; INSERT INTO three (two) SELECT id FROM two; INSERT INTO lone DEFAULT VALUES; INSERT INTO keyless VALUES ('a'), ('a')`,
		changes: []string{
			`TRUNCATE three, lone RESTART IDENTITY`,
			`INSERT INTO lone DEFAULT VALUES; INSERT INTO three (two) VALUES (1)`,
			`TRUNCATE one RESTART IDENTITY CASCADE`,
			`INSERT INTO one (note) VALUES ('again'); INSERT INTO two (one) VALUES (1)`,
			`BEGIN; INSERT INTO one (note) VALUES ('gone'); TRUNCATE one CASCADE; INSERT INTO one (note) VALUES ('kept'); UPDATE one SET note = note || '!'; COMMIT`,
			`BEGIN; SAVEPOINT a; TRUNCATE lone; ROLLBACK TO a; INSERT INTO lone DEFAULT VALUES; COMMIT`,
			`BEGIN; TRUNCATE keyless; INSERT INTO keyless VALUES ('b'), ('b'); TRUNCATE keyless; INSERT INTO keyless VALUES ('c'); COMMIT`,
			`TRUNCATE keyless; TRUNCATE lone, keyless`,
		},
	}, {
		name:   "one restarts, the next does not",
		before: `CREATE TABLE one (id serial PRIMARY KEY); CREATE TABLE two (id serial PRIMARY KEY); INSERT INTO one SELECT FROM generate_series(1, 50); INSERT INTO two SELECT FROM generate_series(1, 60)`,
		changes: []string{
			`INSERT INTO two DEFAULT VALUES`, // its sequence is known to be at 61
			`BEGIN; TRUNCATE one RESTART IDENTITY; TRUNCATE two; COMMIT`,
			`INSERT INTO one DEFAULT VALUES`,
		},
	}, {
		name:   "restarted while the sequence was read",
		before: `CREATE TABLE one (id serial PRIMARY KEY, n int); INSERT INTO one SELECT FROM generate_series(1, 5)`,
		changes: []string{
			`TRUNCATE one RESTART IDENTITY; INSERT INTO one SELECT FROM generate_series(1, 5)`, // at 5 again
			`BEGIN; TRUNCATE one RESTART IDENTITY; INSERT INTO one SELECT FROM generate_series(1, 5); COMMIT`,
			`UPDATE one SET n = 1`,
		},
	}})
}

func TestSequences(t *testing.T) {
	t.Parallel()
	tell(t, []story{{
		name: "all kinds",
		before: `CREATE TABLE item (id int PRIMARY KEY, a serial, b smallserial, c bigint GENERATED ALWAYS AS IDENTITY (START 1000 INCREMENT 10));
			CREATE SEQUENCE down INCREMENT -3 START -5 MINVALUE -1000 MAXVALUE -1; CREATE SEQUENCE cached CACHE 50; CREATE SEQUENCE shared; CREATE SEQUENCE idle START 17; CREATE SEQUENCE "Odd.Name"; CREATE SEQUENCE far;
			CREATE TABLE uses (id int PRIMARY KEY DEFAULT nextval('shared'), d int DEFAULT nextval('down'), c int DEFAULT nextval('cached')); CREATE TABLE too (id int PRIMARY KEY DEFAULT nextval('shared'));
			INSERT INTO item SELECT n FROM generate_series(1, 5) n; INSERT INTO uses DEFAULT VALUES; SELECT nextval('"Odd.Name"')`,
		changes: []string{
			`INSERT INTO item SELECT n FROM generate_series(6, 9) n; INSERT INTO uses DEFAULT VALUES; INSERT INTO too DEFAULT VALUES; INSERT INTO uses DEFAULT VALUES`,
			`INSERT INTO too SELECT FROM generate_series(1, 100); SELECT nextval('"Odd.Name"') FROM generate_series(1, 9)`,
			`SELECT setval('far', 1000000); INSERT INTO too DEFAULT VALUES`,
			`BEGIN; INSERT INTO too DEFAULT VALUES; ROLLBACK`,
			`DELETE FROM too WHERE id > 50`, // what was rolled back is covered, too
		},
	}, {
		name: "set and not yet called",
		before: `CREATE TABLE item (id serial PRIMARY KEY, n int); CREATE SEQUENCE down INCREMENT -5; CREATE SEQUENCE coarse INCREMENT 100 MINVALUE 1; CREATE SEQUENCE lower START 50; CREATE SEQUENCE first; CREATE SEQUENCE least MINVALUE -9223372036854775808 START -9223372036854775808 INCREMENT 9223372036854775807;
			ALTER SEQUENCE item_id_seq RESTART 1000; SELECT setval('down', -70, false), setval('coarse', 30, false), setval('lower', 10, false), setval('first', 1, false), setval('least', -9223372036854775807, false)`,
		changes: []string{
			`INSERT INTO item VALUES (1)`, `SELECT setval('item_id_seq', 2000, false)`, `DELETE FROM item`, `ALTER SEQUENCE down RESTART -90; INSERT INTO item VALUES (2)`,
		},
	}})
}

func TestTriggers(t *testing.T) {
	t.Parallel()
	tell(t, []story{{
		name: "at the source",
		before: `CREATE TABLE item (id int PRIMARY KEY, note text, version int DEFAULT 0); CREATE TABLE audit (id bigserial PRIMARY KEY, op text, item int, at timestamptz DEFAULT clock_timestamp());
			CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.version := coalesce(NEW.version, 0) + 1; RETURN NEW; END';
			CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO audit (op, item) VALUES (TG_OP, coalesce(NEW.id, OLD.id)); RETURN NULL; END';
			CREATE FUNCTION spare() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.note = ''keep'' THEN RETURN NULL; END IF; RETURN OLD; END';
			CREATE TRIGGER a BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION stamp();
			CREATE TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION log();
			CREATE TRIGGER c BEFORE DELETE ON item FOR EACH ROW EXECUTE FUNCTION spare();
			CREATE RULE echo AS ON INSERT TO audit DO ALSO NOTIFY audit; CREATE VIEW items AS SELECT id, note FROM item;
			CREATE RULE quiet AS ON DELETE TO audit DO INSTEAD NOTHING;
			INSERT INTO item VALUES (1, 'a'), (2, 'keep')`,
		changes: []string{
			`INSERT INTO item VALUES (3, 'c'), (4, 'keep')`, `UPDATE item SET note = note || '!' WHERE id IN (1, 3)`, `DELETE FROM item`, `INSERT INTO items VALUES (9, 'through the view')`, `DELETE FROM audit`,
		},
	}, {
		name: "always, in a partition",
		before: `CREATE TABLE item (id int PRIMARY KEY, n int) PARTITION BY LIST (id); CREATE TABLE item_1 PARTITION OF item DEFAULT; CREATE TABLE seen (n int PRIMARY KEY, first int);
			CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM 1; RETURN NULL; END';
			CREATE TRIGGER always AFTER UPDATE ON item_1 FOR EACH ROW EXECUTE FUNCTION look(); ALTER TABLE item_1 ENABLE ALWAYS TRIGGER always; INSERT INTO item VALUES (1, 1)`,
		changes: []string{`UPDATE item SET n = 2; UPDATE item SET n = 3`},
	}})
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	tell(t, []story{{
		name:   "savepoints, prepared, empty",
		before: `CREATE TABLE item (id int PRIMARY KEY, note text); INSERT INTO item VALUES (1, 'one')`,
		changes: []string{
			`BEGIN; INSERT INTO item VALUES (2, 'two'); UPDATE item SET note = 'deux' WHERE id = 2; DELETE FROM item WHERE id = 2; COMMIT`,
			`BEGIN; INSERT INTO item VALUES (3, 'three'); SAVEPOINT a; UPDATE item SET note = 'x'; SAVEPOINT b; DELETE FROM item; ROLLBACK TO b; INSERT INTO item VALUES (4, 'four'); RELEASE b; ROLLBACK TO a; INSERT INTO item VALUES (5, 'five'); COMMIT`,
			`BEGIN; COMMIT; BEGIN; SELECT txid_current(); COMMIT; BEGIN; INSERT INTO item VALUES (6, 'never'); ROLLBACK`,
			`BEGIN; UPDATE item SET note = 'prepared' WHERE id = 3; INSERT INTO item VALUES (7, 'seven'); PREPARE TRANSACTION 'kept'`,
			`BEGIN; INSERT INTO item VALUES (8, 'never'); PREPARE TRANSACTION 'dropped'`,
			`INSERT INTO item VALUES (9, 'between')`,
			`ROLLBACK PREPARED 'dropped'`,
			`COMMIT PREPARED 'kept'`,
			`DO $$ BEGIN FOR i IN 100 .. 400 LOOP BEGIN INSERT INTO item VALUES (i, 'sub'); IF i % 3 = 0 THEN RAISE EXCEPTION 'undo'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$`,
			`BEGIN; UPDATE item SET note = 'a'; UPDATE item SET note = 'b' || id; UPDATE item SET note = NULL WHERE id % 2 = 0; COMMIT`,
			`INSERT INTO item VALUES (1, 'merged'), (500, 'new') ON CONFLICT (id) DO UPDATE SET note = excluded.note`,
			`CREATE TEMP TABLE mine (id int PRIMARY KEY); INSERT INTO mine VALUES (1); INSERT INTO item SELECT 600 + id FROM mine`,
		},
	}, {
		name: "merge", since: 15,
		before:  `CREATE TABLE item (id int PRIMARY KEY, note text); INSERT INTO item SELECT n, 'old' FROM generate_series(1, 20) n`,
		changes: []string{`MERGE INTO item i USING generate_series(10, 30) s (n) ON i.id = s.n WHEN MATCHED AND n % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET note = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (n, 'new')`},
	}})
}

func TestWidth(t *testing.T) {
	t.Parallel()
	columns := func(n int, typ string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ", c%d %s", i, typ)
		}
		return b.String()
	}
	tell(t, []story{{
		name: "1,600 columns",
		before: `CREATE TABLE wide (id int PRIMARY KEY` + columns(1599, "int") + `); INSERT INTO wide (id, c0, c1598) VALUES (1, 1, 1), (2, NULL, 2);
			CREATE TABLE keyless (id int` + columns(799, "boolean") + `); ALTER TABLE keyless REPLICA IDENTITY FULL; INSERT INTO keyless (id, c798) VALUES (1, true), (1, true), (2, NULL);
			CREATE TABLE narrow (id int PRIMARY KEY` + columns(1599, "boolean") + `); ALTER TABLE narrow REPLICA IDENTITY FULL; INSERT INTO narrow (id) VALUES (1), (2)`,
		changes: []string{
			`INSERT INTO wide (id, c7) VALUES (3, 7), (4, 8)`, `UPDATE wide SET c5 = 5, c1598 = id`, `UPDATE wide SET id = id + 10 WHERE id = 2`, `DELETE FROM wide WHERE id = 1`,
			`UPDATE keyless SET c5 = true WHERE ctid = '(0,1)'`, `DELETE FROM keyless WHERE id = 2`,
			`UPDATE narrow SET c5 = true, c1598 = false`, `DELETE FROM narrow WHERE id = 1`,
		},
	}, {
		name: "no columns",
		before: `CREATE TABLE none (); ALTER TABLE none REPLICA IDENTITY FULL; INSERT INTO none SELECT FROM generate_series(1, 3);
			CREATE TABLE only_generated (g int GENERATED ALWAYS AS (1 + 1) STORED); INSERT INTO only_generated DEFAULT VALUES`,
		changes: []string{
			`INSERT INTO none SELECT FROM generate_series(1, 4)`, `INSERT INTO only_generated DEFAULT VALUES`, `DELETE FROM none WHERE ctid < '(0,3)'`,
			`BEGIN; INSERT INTO none DEFAULT VALUES; DELETE FROM none WHERE ctid = '(0,3)'; COMMIT`, `DELETE FROM none`, `INSERT INTO none DEFAULT VALUES`, `TRUNCATE none`, `INSERT INTO none DEFAULT VALUES`,
		},
	}, {
		name: "only generated columns", until: 17,
		before:  `CREATE TABLE only_generated (g int GENERATED ALWAYS AS (1 + 1) STORED); ALTER TABLE only_generated REPLICA IDENTITY FULL; INSERT INTO only_generated SELECT FROM generate_series(1, 5)`,
		changes: []string{`UPDATE only_generated SET g = DEFAULT`, `DELETE FROM only_generated WHERE ctid = (SELECT min(ctid) FROM only_generated)`, `INSERT INTO only_generated DEFAULT VALUES`},
	}})
}
