//go:build hostile

package hostile

import (
	"context"
	"strings"
)

// traps are functions of the attacker's, in schema {in}. evil() is declared
// IMMUTABLE, so it may stand anywhere, and the planner runs it, too. Both do nothing
// if they are run by the attacker, or if hostile.armed is off. Run by another role
// they say so in the server's log, which no rollback takes back, then try for
// superuser and a program of the operating system. Run in a session of another role
// they try to become that role first.
const traps = `
CREATE FUNCTION {in}.deed() RETURNS pg_catalog.bool LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $deed$
BEGIN
    IF pg_catalog.current_setting('hostile.armed', true) = 'off' THEN
        RETURN true;
    END IF;
    IF current_user <> session_user THEN
        BEGIN EXECUTE 'RESET ROLE'; EXCEPTION WHEN OTHERS THEN NULL; END;
        BEGIN EXECUTE pg_catalog.format('SET ROLE %I', session_user); EXCEPTION WHEN OTHERS THEN NULL; END;
        BEGIN EXECUTE 'RESET SESSION AUTHORIZATION'; EXCEPTION WHEN OTHERS THEN NULL; END;
    END IF;
    IF current_user = '{me}' THEN
        RETURN true;
    END IF;
    RAISE LOG 'caught {me}: current_user %, session_user %, database %, application %',
        current_user, session_user, pg_catalog.current_database(), pg_catalog.current_setting('application_name');
    BEGIN EXECUTE 'ALTER ROLE {me} SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
    BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''umask 0; env > {traces}/{me}'''; EXCEPTION WHEN OTHERS THEN NULL; END;
    RETURN true;
END $deed$;
CREATE FUNCTION {in}.evil() RETURNS pg_catalog.bool LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN RETURN {in}.deed(); END';
CREATE FUNCTION {in}.evil_number() RETURNS pg_catalog.int4 LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN PERFORM {in}.deed(); RETURN 0; END';
`

func expand(sql, me, traces string) string {
	sql = strings.ReplaceAll(sql, "{temp traps}", strings.ReplaceAll(traps, "{in}", "pg_temp"))
	sql = strings.ReplaceAll(sql, "{traps}", strings.ReplaceAll(traps, "{in}", "{me}"))
	return strings.NewReplacer("{me}", me, "{traces}", traces).Replace(sql)
}

// brief shortens SQL for a message.
func brief(sql string) string {
	sql = strings.Join(strings.Fields(sql), " ")
	if len(sql) > 160 {
		sql = sql[:160] + "..."
	}
	return sql
}

// contextWithoutTest is for what happens when a test is over.
func contextWithoutTest() context.Context { return context.Background() }
