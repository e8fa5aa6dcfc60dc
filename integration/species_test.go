package integration

import (
	"slices"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// species is a type with values that are hard to carry, as SQL expressions.
type species struct {
	typ    string
	key    bool // it has a btree operator class: it can be a primary key
	values []string
	// lone: there is no array of it worth a test.
	lone  bool
	since int // the first major version that has it
}

// allText is every character up to U+00FF but NUL, and what is rare above.
const allText = `(SELECT string_agg(chr(i), '') FROM generate_series(1, 255) i) || U&'\2028\2029\FEFF\0301\FFFD\+01F600\+10FFFF'`

var textValues = []string{
	`''`, `' '`, `'NULL'`, `'null'`, `E'\\N'`, `E'\\.'`, `E'\n\\.\n'`, `E'\t'`, `E'\r\n'`, `E'a\\tb\\nc'`, `E'\\'`, `E'\\\\'`, `E'\x01\x0b\x1f\x7f'`,
	`'"'`, `''''`, `'{"a":1}'`, `'{a,b}'`, `E'{"\\"}'`, `'(a,b)'`, `U&'e\0301'`, `U&'\00e9'`, `U&'a\2028b\2029'`, `U&'\+01F469\200D\+01F4BB'`, allText,
	`repeat('long ', 1000)`,
}

// zooTypes are made before the tables.
const zooTypes = `
	CREATE SCHEMA zoo;
	CREATE TYPE zoo.mood AS ENUM ('sad', 'ok', 'with space', 'quote''s', '"', 'ünï', '');
	ALTER TYPE zoo.mood ADD VALUE 'middle' BEFORE 'ok';
	CREATE TYPE zoo.pair AS (a int, "B b" text);
	CREATE TYPE zoo.nest AS (p zoo.pair, ps zoo.pair[], m zoo.mood, t timestamptz);
	CREATE DOMAIN zoo.positive AS int CHECK (VALUE > 0);
	CREATE DOMAIN zoo.grid AS int[] CHECK (array_ndims(VALUE) IS DISTINCT FROM 3);
	CREATE DOMAIN zoo.word AS varchar(12) CHECK (VALUE <> 'forbidden');
	CREATE DOMAIN zoo.pairs AS zoo.pair CHECK ((VALUE).a > 0);
	CREATE DOMAIN zoo.thing AS regclass;
	CREATE TYPE zoo.span AS RANGE (subtype = text, collation = "C");
	CREATE COLLATION zoo.anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
	CREATE TABLE zoo."A class" (id int);
	CREATE FUNCTION zoo.code_of(text) RETURNS zoo.pair LANGUAGE sql IMMUTABLE AS $$ SELECT ROW(length($1), 'cast')::zoo.pair $$;
	CREATE CAST (text AS zoo.pair) WITH FUNCTION zoo.code_of(text)`

// zooSpecies lists what the server of t has.
func zooSpecies(t testing.TB, db *pgtest.DB) []species {
	t.Helper()
	all := []species{
		{typ: "bool", key: true, values: []string{"true", "false"}},
		{typ: "smallint", key: true, values: []string{"0", "-32768", "32767"}},
		{typ: "int", key: true, values: []string{"0", "-2147483648", "2147483647"}},
		{typ: "bigint", key: true, values: []string{"0", "-9223372036854775808", "9223372036854775807"}},
		{typ: "numeric", key: true, values: []string{
			"0", "0.00", "'NaN'", "'Infinity'", "'-Infinity'", "1.0", "1.00000", "-0.000000000000000000001", "1e131071", "'1e-16383'", "12345678901234567890.123456789",
			"repeat('9', 1000)::numeric + 0.5",
		}},
		{typ: "numeric(20,5)", key: true, values: []string{"0", "123456789012345.67891", "-0.00001", "'NaN'"}},
		{typ: "numeric(3,-2)", since: 15, key: true, values: []string{"12300", "-99900"}},
		{typ: "real", key: true, values: []string{"0", "'-0'", "'NaN'", "'Infinity'", "'-Infinity'", "1.17549435e-38", "1e-45", "3.4028235e38", "0.1", "16777217"}},
		{typ: "double precision", key: true, values: []string{
			"0", "'-0'", "'NaN'", "'Infinity'", "'-Infinity'", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "0.1", "0.30000000000000004",
			"9007199254740993", "1e23", "-1.2345678901234567e-100",
		}},
		{typ: "money", key: true, values: []string{"0::numeric", "92233720368547758.07::numeric", "-92233720368547758.08::numeric", "1234.5::numeric"}},
		{typ: "text", key: true, values: textValues},
		{typ: "varchar", key: true, values: textValues[:10]},
		{typ: "varchar(5)", key: true, values: []string{"''", "'a'", "'abcde'", "'a    '", `U&'\+01F600\+01F600\+01F600\+01F600\+01F600'`}},
		{typ: "char(5)", key: true, values: []string{"''", "'a'", "'a    '", "'  a'", "'abcde'", `E'a\t'`}},
		{typ: "char", key: true, values: []string{"' '", "'x'", "'é'"}},
		{typ: "bpchar", key: true, values: []string{"'a'", "'a   '", "'   '"}},
		{typ: "name", key: true, values: []string{"''", `'"'`, "repeat('n', 63)", "'ünï'", `E'\\'`}},
		{typ: `"char"`, key: true, values: []string{"''", "'a'", `'"'`, `E'\\'`, `' '`, `E'\n'`, "','"}},
		{typ: "bytea", key: true, values: []string{
			"''", `'\x00'`, `'\x'`, `'\x5c5c5c'`, `'\xdeadbeef00'`, `decode(repeat('00ff5c22', 300), 'hex')`, `(SELECT string_agg(set_byte('\x00'::bytea, 0, i), '') FROM generate_series(0, 255) i)`,
		}},
		{typ: "date", key: true, values: []string{"'infinity'", "'-infinity'", "'4714-11-24 BC'", "'0001-12-31 BC'", "'0001-01-01'", "'1582-10-10'", "'2024-02-29'", "'5874897-12-31'", "'1900-01-02'"}},
		{typ: "time", key: true, values: []string{"'00:00'", "'24:00'", "'23:59:59.999999'", "'00:00:00.000001'"}},
		{typ: "time(2)", key: true, values: []string{"'12:34:56.78'"}},
		{typ: "timetz", key: true, values: []string{"'00:00+00'", "'24:00-15:59'", "'12:00:00.5+05:45'", "'23:59:59.999999+15:59:59'"}},
		{typ: "timestamp", key: true, values: []string{"'infinity'", "'-infinity'", "'4714-11-24 00:00:00 BC'", "'0001-12-31 23:59:59.999999 BC'", "'294276-12-31 23:59:59.999999'", "'2024-03-31 02:30'", "'1999-01-02 03:04:05.1'"}},
		{typ: "timestamptz", key: true, values: []string{
			"'infinity'", "'-infinity'", "'4714-11-24 00:00:00+00 BC'", "'0001-12-31 23:59:59.999999+00 BC'", "'294276-12-31 23:59:59.999999+00'", "'2024-10-27 00:30+00'", "'2024-10-27 01:30+00'", "'1800-01-01 00:00+00'",
		}},
		{typ: "timestamptz(0)", key: true, values: []string{"'2024-01-02 03:04:05+13'"}},
		{typ: "interval", key: true, values: []string{
			"'0'", "'178000000 years'", "'-178000000 years'", "'1 year -2 mons +3 days -04:05:06.000007'", "'-1 year +2 mons -3 days +04:05:06.789'", "'-00:00:00.000001'",
			"'1 mon'", "'31 days'", "'-0.5 sec'", "'1 day -00:00:01'",
		}},
		{typ: "interval", lone: true, since: 15, values: []string{"'2562047788:00:54.775807'"}}, // the greatest: 14 has a field of 32 bits
		{typ: "interval", lone: true, since: 17, values: []string{"'infinity'", "'-infinity'"}},
		{typ: "interval year to month", key: true, values: []string{"'3-4'", "'-3-4'"}},
		{typ: "interval(3)", values: []string{"'1.2345 sec'", "'-1.2345 sec'"}},
		{typ: "uuid", key: true, values: []string{"'00000000-0000-0000-0000-000000000000'", "'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"}},
		{typ: "bit(3)", key: true, values: []string{"B'000'", "B'101'"}},
		{typ: "varbit", key: true, values: []string{"B''", "B'1'", "B'0000000000'", "repeat('10', 300)::varbit"}},
		{typ: "inet", key: true, values: []string{"'0.0.0.0/0'", "'10.1.2.3/8'", "'10.1.2.3'", "'::'", "'2001:db8::1/64'", "'::ffff:1.2.3.4'"}},
		{typ: "cidr", key: true, values: []string{"'10.0.0.0/8'", "'0.0.0.0/0'", "'2001:db8::/32'", "'1.2.3.4'"}},
		{typ: "macaddr", key: true, values: []string{"'08:00:2b:01:02:03'", "'ff:ff:ff:ff:ff:ff'"}},
		{typ: "macaddr8", key: true, values: []string{"'08:00:2b:01:02:03:04:05'"}},
		{typ: "json", values: []string{
			"'null'", `'{}'`, `' { "a" : 1 , "a" : 2 } '`, `'[1, 2,"x"]'`, `E'{"k":"\\\\u0000 \\\\ud83d\\\\ude00 \\\\n"}'`, `E'"\\t"'::text::json`, `'1e400'`, `'"é\u00e9"'`, `E'[\n\t]'`,
		}[:6]},
		{typ: "jsonb", key: true, values: []string{
			"'null'", `'{}'`, `'[]'`, `'{"b":1,"a":{"b":[null,true,1.10,"\u00e9\ud83d\ude00\n\"\\"]}}'`, `'1e1000'`, `'""'`, `to_jsonb(repeat('x', 10000))`, `to_jsonb(E'\x01\x1f\u2028'::text)`,
		}},
		{typ: "jsonpath", values: []string{`'$'`, `'strict $.a[*] ? (@.b == "x\"y").c'`}},
		{typ: "point", values: []string{"'(0,0)'", "'(-0,1e300)'", "'(NaN,Infinity)'", "'(0.1,0.2)'"}},
		{typ: "line", values: []string{"'{1,2,3}'", "'{0,-1,0.1}'"}},
		{typ: "lseg", values: []string{"'[(0,0),(1,1)]'"}},
		{typ: "box", values: []string{"'(1,1),(0,0)'", "'(1e-300,3),(-4,-Infinity)'"}},
		{typ: "path", values: []string{"'[(0,0),(1,1)]'", "'((0,0),(1,1),(2,0))'", "'((1,2))'"}},
		{typ: "polygon", values: []string{"'((0,0),(1,1),(2,0))'", "'((0.1,0))'"}},
		{typ: "circle", values: []string{"'<(0,0),0>'", "'<(1,-1),0.1>'"}},
		{typ: "tsvector", key: true, values: []string{"''", "'a fat cat'", `E'''it''''s'':1A,2B,16383 ''back\\\\slash'' ''with space'':3C'`, "to_tsvector('simple', repeat('word ', 300))"}},
		{typ: "tsquery", key: true, values: []string{"''", "'fat & (cat | !dog)'", "'a <-> b:*AB'", "'''it''''s'' & ''x y'''"}},
		{typ: "int4range", key: true, values: []string{"'empty'", "'(,)'", "'[1,2)'", "'[,5)'", "'[2147483647,)'"}},
		{typ: "int8range", key: true, values: []string{"'empty'", "'[-9223372036854775808,1)'"}},
		{typ: "numrange", key: true, values: []string{"'(,)'", "'(1.10,2.2]'", "'[NaN,NaN]'", "'(-Infinity,Infinity)'"}},
		{typ: "tsrange", key: true, values: []string{"'[2024-01-01,infinity]'", `'["0001-01-01 00:00:00 BC",)'`}},
		{typ: "tstzrange", key: true, values: []string{"'[2024-01-01 00:00+05,2024-01-02 00:00+00)'", "'empty'", "'(-infinity,)'"}},
		{typ: "daterange", key: true, values: []string{"'[2024-01-01,2024-02-01)'", "'(,infinity)'", "'[0044-03-15 BC,0044-03-16 BC)'"}},
		{typ: "int4multirange", key: true, values: []string{"'{}'", "'{(,1),[3,4),[7,)}'"}},
		{typ: "tstzmultirange", key: true, values: []string{"'{}'", "'{[2024-01-01 00:00+00,2024-01-02 00:00+00),[2025-01-01 00:00+00,)}'"}},
		{typ: "datemultirange", values: []string{"'{[2024-01-01,2024-02-01),[2024-03-01,)}'"}},
		{typ: "zoo.span", key: true, values: []string{`'["a,b","c\"d"]'`, `'["",)'`, "'empty'", `'["a\\",b]'`, `zoo.span('(', ')', '[]')`}},
		{typ: "int[]", lone: true, key: true, values: []string{"'{}'", "'{1,NULL,-3}'", "'{{1,2},{3,4}}'", "'[0:2]={1,2,3}'", "'[-1:0][5:6]={{1,2},{3,NULL}}'"}},
		{typ: "text[]", lone: true, key: true, values: []string{"'{}'", `ARRAY['', 'NULL', NULL, 'a,b', '{}', '"', E'\\', E'\n\t', ' ', U&'\+01F600']`, `ARRAY[ARRAY['a'], ARRAY[NULL]]`, "ARRAY[" + allText + "]"}},
		{typ: "bytea[]", lone: true, key: true, values: []string{`ARRAY['\x00'::bytea, '', NULL]`}},
		{typ: "jsonb[]", lone: true, key: true, values: []string{`ARRAY['{"a":"\"\\"}'::jsonb, 'null', NULL]`}},
		{typ: "box[]", lone: true, values: []string{"'{(1,1),(0,0);(2,2),(1,1)}'"}},
		{typ: "zoo.pair[]", lone: true, key: true, values: []string{`ARRAY[ROW(1, 'a,"b)'), NULL, ROW(NULL, NULL), ROW(2, '')]::zoo.pair[]`, "'{}'"}},
		{typ: "zoo.mood[]", lone: true, key: true, values: []string{`'{sad,"with space",NULL,"","\""}'`}},
		{typ: "zoo.pair", values: []string{"ROW(1, 'x')", "ROW(NULL, NULL)", `ROW(-1, E'a"b\\c,d(e) ')`, "ROW(NULL, '')"}, key: true},
		{typ: "zoo.nest", values: []string{
			`ROW(ROW(1, 'in "quotes"'), ARRAY[ROW(2, '{,}'), NULL]::zoo.pair[], 'middle', '2024-01-01 00:00+00')`, "ROW(NULL, NULL, NULL, NULL)", `ROW(ROW(NULL, E'\\'), '{}', '"', 'infinity')`,
		}},
		{typ: "zoo.mood", key: true, values: []string{"'sad'", "'middle'", "'with space'", "'quote''s'", `'"'`, "'ünï'", "''"}},
		{typ: "zoo.positive", key: true, values: []string{"1", "2147483647"}},
		{typ: "zoo.grid", key: true, values: []string{"'{}'", "'{{1,2},{3,4}}'", "'[3:4]={NULL,1}'"}},
		{typ: "zoo.word", key: true, values: []string{"''", "'a  '", "'twelve chars'"}},
		{typ: "zoo.pairs", key: true, values: []string{"ROW(1, 'p,q')"}},
		{typ: "oid", key: true, values: []string{"0", "4294967295"}},
		{typ: "regclass", key: true, values: []string{"0", "'pg_class'", `'zoo."A class"'`, "4294967295"}},
		{typ: "zoo.thing", key: true, values: []string{"'0'", `'zoo."A class"'`, "'4294967295'"}},
		{typ: "regtype", key: true, values: []string{"'int'", "'zoo.mood'", "'zoo.pair[]'", "'\"char\"'", "0::oid"}},
		{typ: "regproc", key: true, values: []string{"'now'", "'zoo.code_of'", "0::oid"}},
		{typ: "regprocedure", key: true, values: []string{"'abs(int)'", "'zoo.code_of(text)'"}},
		{typ: "regoper", values: []string{"'||/'", "0::oid"}},
		{typ: "regoperator", values: []string{"'+(int,int)'", "'-(NONE,int)'"}},
		{typ: "regnamespace", key: true, values: []string{"'zoo'", "0::oid"}},
		{typ: "regrole", key: true, values: []string{"'postgres'"}},
		{typ: "regconfig", values: []string{"'simple'"}},
		{typ: "regdictionary", values: []string{"'simple'"}},
		{typ: "regcollation", values: []string{`'"C"'`, "'zoo.anycase'"}},
		{typ: "xid", values: []string{"'0'", "'4294967295'"}},
		{typ: "xid8", key: true, values: []string{"'0'", "'18446744073709551615'"}},
		{typ: "cid", values: []string{"'4294967295'"}},
		{typ: "tid", key: true, values: []string{"'(0,0)'", "'(4294967295,65535)'"}},
		{typ: "pg_lsn", key: true, values: []string{"'0/0'", "'FFFFFFFF/FFFFFFFF'"}},
		{typ: "pg_snapshot", values: []string{"'10:20:10,14,15'", "'1:1:'"}},
		{typ: "txid_snapshot", values: []string{"'10:20:10,14,15'"}},
		{typ: "int2vector", values: []string{"''", "'1 2 -3'"}},
		{typ: "oidvector", key: true, values: []string{"''", "'1 4294967295'"}},
		{typ: "aclitem", lone: true, values: []string{"'postgres=r/postgres'"}},
		{typ: `text COLLATE zoo.anycase`, lone: true, key: true, values: []string{"'a'", "'B'", "'É'"}},
		{typ: `text COLLATE "C"`, lone: true, key: true, values: []string{"'a'", "'A'"}},
	}
	if db.Cluster.Major() >= 16 { // before, it is written as a byte that is no UTF-8
		all = append(all, species{typ: `"char"`, key: true, values: []string{`E'\\200'`, `E'\\377'`}})
	}
	if db.ExecErr(`SELECT '<a/>'::xml`) == nil {
		all = append(all, species{typ: "xml", values: []string{
			`''`, `'plain'`, `'<a b="c">&lt;é</a>'`, `'<?xml version="1.0" encoding="UTF-8"?><a/>'`, `'<!DOCTYPE a><a/>'`, `E'<a/>\n<!-- \t -->'`, `'<![CDATA[<>]]>'`,
		}})
	}
	for extension, s := range contrib {
		if hasExtension(t, db, extension) {
			all = append(all, s...)
		}
	}
	return slices.DeleteFunc(all, func(s species) bool { return s.since > db.Cluster.Major() })
}

// contrib are the types of extensions, which lie in schema public.
var contrib = map[string][]species{
	"citext": {{typ: "public.citext", key: true, values: []string{"'a'", "'B'", "''", "'Straße'"}}},
	"hstore": {{typ: "public.hstore", key: true, values: []string{"''", `'a=>NULL, "b c"=>"d\"e", "\\"=>""'`, `'x=>1'`}}},
	"ltree":  {{typ: "public.ltree", key: true, values: []string{"''", "'a.b.c'"}}},
	"cube":   {{typ: "public.cube", key: true, values: []string{"'(1,2),(3,4)'", "'()'", "'(0.1)'"}}},
	"isn":    {{typ: "public.isbn", key: true, values: []string{"'978-0-393-04002-9'"}}},
}

func hasExtension(t testing.TB, db *pgtest.DB, name string) bool {
	t.Helper()
	return db.Value(t, `SELECT count(*) FROM pg_available_extensions WHERE name = $1`, name) == "1"
}
