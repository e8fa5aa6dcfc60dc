-- The text of values in the stream, and new keys.

-- The text of a value as the stream has it, whatever the settings of the session. The
-- settings are those of pgbridge's own sessions.
CREATE OR REPLACE FUNCTION pgbridge.printed(value anyelement) RETURNS text
LANGUAGE plpgsql STRICT
SET datestyle = 'ISO,YMD'
SET intervalstyle = 'postgres'
SET timezone = 'UTC'
SET extra_float_digits = 3
SET bytea_output = 'hex'
SET xmlbinary = 'base64'
SET lc_monetary = 'C'
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $$
BEGIN
    RETURN pg_catalog.format('%s', value);
END $$;

-- pgbridge.printed for the most frequent type that needs it. It has only the settings
-- that this type needs, because each of them costs time.
CREATE OR REPLACE FUNCTION pgbridge.printed_time(value timestamptz) RETURNS text
LANGUAGE plpgsql STRICT
SET datestyle = 'ISO,YMD'
SET timezone = 'UTC'
AS $$
BEGIN
    RETURN value;
END $$;

-- A UUIDv7 (RFC 9562): milliseconds, then random bits.
CREATE OR REPLACE FUNCTION pgbridge.new_id() RETURNS uuid
LANGUAGE sql
RETURN encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid;
