-- Owners of objects.

-- The owner of an object, or of the table, type or domain that it is a part of. What belongs
-- to the superuser of initdb is not listed by the server.
CREATE OR REPLACE FUNCTION pgbridge.owner_of(class oid, object oid) RETURNS name
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_get_userbyid(coalesce(pgbridge.owner_oid(class, object), 10))
$$;

-- The owner of the object with this address, as pg_get_object_address takes it; NULL where
-- there is none.
CREATE OR REPLACE FUNCTION pgbridge.object_owner(type text, names text[], args text[]) RETURNS name
LANGUAGE plpgsql STABLE SECURITY DEFINER -- for the sake of owner_of
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found record;
BEGIN
    SELECT * INTO found FROM pg_get_object_address(type, names, args);
    RETURN pgbridge.owner_of(found.classid, found.objid);
EXCEPTION WHEN undefined_table OR undefined_object OR undefined_function OR invalid_schema_name
    OR undefined_column THEN
    RETURN NULL;
END $$;

-- Gives an object another owner, as a superuser of the source did. Owners, old and new, are
-- authors or the role of the session; for a superuser's session also others. NULL as the new
-- owner is the role of the session.
CREATE OR REPLACE FUNCTION pgbridge.change_owner(type text, names text[], args text[], new_owner name)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found record;
    owner name;
    fault text;
    chief boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = session_user);
BEGIN
    new_owner := coalesce(new_owner, session_user);
    SELECT * INTO STRICT found FROM pg_get_object_address(type, names, args);
    FOREACH owner IN ARRAY ARRAY[pgbridge.owner_of(found.classid, found.objid), new_owner] LOOP
        fault := CASE WHEN owner <> session_user AND NOT chief THEN pgbridge.author_fault(owner) END;
        IF fault IS NOT NULL THEN
            RAISE EXCEPTION '%', fault USING ERRCODE = 'invalid_role_specification';
        END IF;
    END LOOP;
    EXECUTE format('ALTER %s %s OWNER TO %I', pgbridge.object_kind(type),
        (SELECT identity FROM pg_identify_object(found.classid, found.objid, 0)), new_owner);
    IF pgbridge.owner_of(found.classid, found.objid) <> new_owner THEN -- its name was another's meanwhile
        RAISE EXCEPTION 'a schema was renamed while an owner was changed' USING ERRCODE = 'serialization_failure';
    END IF;
END $$;
