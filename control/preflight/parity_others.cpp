// Everything in the catalogs that is no part of a table, as rows that can be compared.
#include "control/preflight/parity.hpp"

namespace pgsluice::control {

const catalog view_catalog{
    "view",
    R"(
SELECT full_name, concat_ws(' ', def, reloptions::text),
       format('CREATE VIEW %s AS %s', full_name, def),
       format('CREATE OR REPLACE VIEW %s AS %s', full_name, def)
FROM rel, LATERAL (SELECT pg_get_viewdef(oid) AS def) AS text WHERE relkind = 'v'
UNION ALL
SELECT full_name, 'MATERIALIZED ' || def,
       format('CREATE MATERIALIZED VIEW %s AS %s', full_name, def), NULL
FROM rel, LATERAL (SELECT pg_get_viewdef(oid) AS def) AS text WHERE relkind = 'm')",
    extra_objects::noted,
    true};

const catalog materialized_catalog{
    "content of materialized view",
    R"(
SELECT full_name, '', format('REFRESH MATERIALIZED VIEW %s', full_name), NULL
FROM rel WHERE relkind = 'm' AND relispopulated)",
    extra_objects::ignored};

const catalog function_catalog{
    "function",
    R"(
SELECT full_name,
       concat_ws(' ', CASE prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate'
                      WHEN 'w' THEN 'window' END, l.lanname, 'returns',
                 pg_get_function_result(fn.oid), CASE provolatile WHEN 'i' THEN 'immutable'
                 WHEN 's' THEN 'stable' END, CASE WHEN proisstrict THEN 'strict' END,
                 CASE WHEN prosecdef THEN 'security definer' END, proconfig::text,
                 'body', md5(concat(prosrc, probin, pg_get_function_sqlbody(fn.oid)))),
       def, def
FROM fn JOIN pg_language l ON l.oid = fn.prolang,
LATERAL (SELECT CASE WHEN prokind IN ('f', 'p') THEN pg_get_functiondef(fn.oid) END AS def) AS text)",
    extra_objects::noted,
    true};

const catalog type_catalog{"type", R"(
SELECT full_name, def, CASE typtype WHEN 'd' THEN format('CREATE DOMAIN %s AS %s', full_name, def)
       ELSE format('CREATE TYPE %s AS %s', full_name, def) END, NULL
FROM ty, LATERAL (SELECT CASE typtype
    WHEN 'e' THEN (SELECT format('ENUM (%s)', string_agg(quote_literal(enumlabel), ', '
                                                         ORDER BY enumsortorder))
                   FROM pg_enum WHERE enumtypid = ty.oid)
    WHEN 'd' THEN (SELECT concat_ws(' ', format_type(typbasetype, typtypmod),
                                    'DEFAULT ' || typdefault, CASE WHEN typnotnull THEN 'NOT NULL'
                                    END, string_agg(format('CONSTRAINT %I %s', conname,
                                                           pg_get_constraintdef(c.oid)), ' '
                                                    ORDER BY conname))
                   FROM (VALUES (1)) AS one LEFT JOIN pg_constraint c ON c.contypid = ty.oid
                   AND c.contype <> 'n')
    WHEN 'c' THEN (SELECT format('(%s)', string_agg(format('%I %s', attname,
                                                           format_type(atttypid, atttypmod)), ', '
                                                    ORDER BY attnum))
                   FROM pg_attribute WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped)
    ELSE (SELECT format('RANGE (subtype = %s)', rngsubtype::regtype) FROM pg_range
          WHERE rngtypid = ty.oid) END AS def) AS text)"};

const catalog extension_catalog{
    "extension",
    R"(
SELECT quote_ident(extname), extversion,
       format('CREATE EXTENSION %I SCHEMA %I', extname, extnamespace::regnamespace),
       format('ALTER EXTENSION %I UPDATE', extname)
FROM pg_extension)",
    extra_objects::noted,
    false,
    true};

const catalog role_catalog{"role", R"(
SELECT quote_ident(rolname), def, format('CREATE ROLE %I %s', rolname, def),
       format('ALTER ROLE %I %s', rolname, def)
FROM pg_roles, LATERAL (SELECT concat_ws(' ',
    CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
    CASE WHEN rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END,
    CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
    CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
    CASE WHEN rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END,
    CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END,
    'CONNECTION LIMIT ' || rolconnlimit,
    'VALID UNTIL ' || quote_literal(rolvaliduntil)) AS def) AS t
WHERE rolname !~ '^pg_')"};

/// Since version 16 there is one row for each grantor.
const catalog membership_catalog{"membership of", R"(
SELECT format('%s in %s', member::regrole::text, roleid::regrole::text), def,
       format('GRANT %s TO %s%s', roleid::regrole, member::regrole, def),
       format('GRANT %s TO %s%s', roleid::regrole, member::regrole, def)
FROM (SELECT roleid, member, CASE WHEN bool_or(admin_option) THEN ' WITH ADMIN OPTION' ELSE '' END
      AS def FROM pg_auth_members GROUP BY roleid, member) AS each
WHERE member::regrole::text !~ '^pg_')"};

const catalog role_setting_catalog{"setting of", R"(
SELECT concat_ws(' in ', target, 'database ' || quote_ident(datname)) || ': ' ||
           split_part(entry, '=', 1),
       substr(entry, strpos(entry, '=') + 1), statement, statement
FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(setconfig) AS entry,
LATERAL (SELECT 'role ' || quote_ident(rolname) AS target, CASE WHEN rolname IS NULL
    THEN format('ALTER DATABASE %I SET', datname)
    ELSE concat_ws(' ', format('ALTER ROLE %I', rolname), 'IN DATABASE ' || quote_ident(datname),
                   'SET') END AS command) AS t,
LATERAL (SELECT format('%s %s = %L', command, split_part(entry, '=', 1),
                       substr(entry, strpos(entry, '=') + 1)) AS statement) AS u
WHERE (setdatabase = 0 OR datname = current_database())
AND split_part(entry, '=', 1) <> 'default_transaction_read_only')"};

const catalog owner_catalog{
    "owner of",
    R"(
SELECT kind || ' ' || name, owner, NULL, format('ALTER %s %s OWNER TO %s', kind, name, owner)
FROM (SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                  WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind,
             full_name AS name, relowner::regrole::text AS owner
      FROM rel WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
      UNION ALL SELECT 'SCHEMA', quote_ident(nspname), nspowner::regrole::text FROM schema
      UNION ALL SELECT CASE prokind WHEN 'a' THEN 'AGGREGATE' ELSE 'ROUTINE' END, full_name,
                       proowner::regrole::text FROM fn
      UNION ALL SELECT 'TYPE', full_name, typowner::regrole::text FROM ty
      UNION ALL SELECT 'DATABASE', quote_ident(datname), datdba::regrole::text FROM pg_database
                WHERE datname = current_database()) AS each)",
    extra_objects::ignored};

/// What the owner has by itself is left out. What initdb gave in the schema `public` is not the
/// same in all versions (Release Notes of 15: no CREATE for PUBLIC); pg_init_privs remembers it.
const catalog grant_catalog{
    .noun = "grant",
    .sql = R"(
SELECT text, max(option), 'GRANT ' || text || max(option), 'GRANT ' || text || max(option),
       bool_or(EXISTS (SELECT FROM aclexplode(initial) AS i
                       WHERE i.grantee = a.grantee AND i.privilege_type = privilege))
FROM (SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, full_name AS name,
             relowner AS owner, relacl AS acl,
             CASE relkind WHEN 'S' THEN 's' ELSE 'r' END AS letter, NULL::aclitem[] AS initial
      FROM rel WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
      UNION ALL SELECT 'SCHEMA', quote_ident(nspname), nspowner, nspacl, 'n', (
                SELECT initprivs FROM pg_init_privs WHERE objoid = schema.oid
                AND classoid = 'pg_namespace'::regclass AND privtype = 'i') FROM schema
      UNION ALL SELECT 'ROUTINE', full_name, proowner, proacl, 'f', NULL FROM fn
      UNION ALL SELECT 'TYPE', full_name, typowner, typacl, 'T', NULL FROM ty
      UNION ALL SELECT 'DATABASE', quote_ident(datname), datdba, datacl, 'd', NULL FROM pg_database
                WHERE datname = current_database()) AS each,
LATERAL (SELECT privilege_type AS privilege, grantee, is_grantable
         FROM aclexplode(coalesce(acl, acldefault(letter::"char", owner)))) AS a,
LATERAL (SELECT format('%s ON %s %s TO %s', privilege, kind, name, CASE grantee WHEN 0 THEN 'PUBLIC'
                       ELSE grantee::regrole::text END) AS text,
                CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS option) AS b
WHERE grantee <> owner GROUP BY text
UNION ALL
SELECT text, '', 'GRANT ' || text, NULL, false
FROM rel JOIN pg_attribute c ON c.attrelid = rel.oid, aclexplode(attacl) AS a,
LATERAL (SELECT format('%s (%I) ON TABLE %s TO %s', privilege_type, attname, full_name,
                       CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END) AS text)
AS b WHERE NOT attisdropped
UNION ALL
SELECT concat_ws(' ', 'by default:', privilege_type, 'on', CASE defaclobjtype WHEN 'r' THEN 'TABLES'
                 WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES'
                 ELSE 'SCHEMAS' END, 'of', defaclrole::regrole, 'in ' || nspname, 'to',
                 CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END), '', NULL, NULL, false
FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace,
aclexplode(defaclacl) AS a WHERE grantee <> defaclrole)",
    .fenced = "CONNECT ON DATABASE "};

const catalog row_security_catalog{
    "row security of",
    R"(
SELECT full_name, CASE WHEN relforcerowsecurity THEN 'forced' ELSE 'enabled' END,
       format('ALTER TABLE %s %sROW LEVEL SECURITY', full_name, how),
       format('ALTER TABLE %s %sFORCE ROW LEVEL SECURITY', full_name,
              CASE WHEN relforcerowsecurity THEN '' ELSE 'NO ' END)
FROM rel, LATERAL (SELECT CASE WHEN relforcerowsecurity
    THEN 'ENABLE ROW LEVEL SECURITY, FORCE ' ELSE 'ENABLE ' END AS how) AS t WHERE relrowsecurity
UNION ALL
SELECT format('%s by policy %I', full_name, polname), def,
       format('CREATE POLICY %I ON %s %s', polname, full_name, def), NULL
FROM rel JOIN pg_policy p ON p.polrelid = rel.oid,
LATERAL (SELECT concat_ws(' ', CASE WHEN polpermissive THEN 'AS PERMISSIVE' ELSE 'AS RESTRICTIVE'
    END, CASE polcmd WHEN 'r' THEN 'FOR SELECT' WHEN 'a' THEN 'FOR INSERT' WHEN 'w' THEN
    'FOR UPDATE' WHEN 'd' THEN 'FOR DELETE' ELSE 'FOR ALL' END, 'TO', (
        SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE role::regrole::text END, ', '
                          ORDER BY role::regrole::text) FROM unnest(polroles) AS role),
    'USING (' || pg_get_expr(polqual, polrelid) || ')',
    'WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')') AS def) AS t)",
    extra_objects::bad,
    true};

}  // namespace pgsluice::control
