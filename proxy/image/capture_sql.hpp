#pragma once

#include <string_view>

// The statements of a capture. PostgreSQL 14 to 18. Every function, type and operator is qualified:
// they run with the client's search_path, which must not be able to hijack them. They call the
// functions under the views, so that a REVOKE on a view does not matter. The answers are JSON in
// the database's encoding as one bytea, fetched in binary format, so that client_encoding,
// bytea_output, DateStyle and their like have no say.

namespace pgsluice::proxy::capture_sql {

/// No parameters, on purpose: such a statement gets its generic plan at the first execution, while
/// one with parameters is planned anew five times (choose_custom_plan() in plancache.c), and
/// planning costs more than running.
inline constexpr std::string_view state = R"sql(
SELECT pg_catalog.convert_to(pg_catalog.json_build_object(
 'version', pg_catalog.current_setting('server_version_num'),
 'pid', pg_catalog.pg_backend_pid(),
 'encoding', pg_catalog.getdatabaseencoding(),
 'client_encoding', pg_catalog.current_setting('client_encoding'),
 'strings', pg_catalog.current_setting('standard_conforming_strings'),
 'session_user', SESSION_USER,
 'current_user', CURRENT_USER,
 'role', pg_catalog.current_setting('role'),
 'settings', g.changed,
 'registered', g.dotted,
 'statements', (
  SELECT pg_catalog.json_agg(pg_catalog.json_build_array(p.name, p.from_sql, p.statement,
    p.parameter_types::pg_catalog.oid[]::pg_catalog.int8[]))
  FROM pg_catalog.pg_prepared_statement() AS p
  WHERE NOT pg_catalog.starts_with(p.name, 'pgsluice.')),
 'types', (
  SELECT pg_catalog.json_agg(pg_catalog.json_build_array(t.oid::pg_catalog.int8, n.nspname, t.typname))
  FROM pg_catalog.pg_type AS t
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
  WHERE t.oid OPERATOR(pg_catalog.=) ANY (ARRAY(
   SELECT u.type FROM pg_catalog.pg_prepared_statement() AS p,
     LATERAL pg_catalog.unnest(p.parameter_types::pg_catalog.oid[]) AS u(type)
   WHERE u.type OPERATOR(pg_catalog.>=) 10000::pg_catalog.oid))),
 'channels', (
  SELECT pg_catalog.json_agg(c.name) FROM pg_catalog.pg_listening_channels() AS c(name)),
 'locks', (
  SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
    l.objsubid OPERATOR(pg_catalog.=) 2::pg_catalog.int2,
    CASE WHEN l.objsubid OPERATOR(pg_catalog.=) 2::pg_catalog.int2
    THEN pg_catalog.concat(l.classid::pg_catalog.int4, ',', l.objid::pg_catalog.int4)
    ELSE ((l.classid::pg_catalog.int8 OPERATOR(pg_catalog.<<) 32)
      OPERATOR(pg_catalog.|) l.objid::pg_catalog.int8)::pg_catalog.text END,
    l.mode OPERATOR(pg_catalog.=) 'ShareLock'))
  FROM pg_catalog.pg_lock_status() AS l
  WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
   AND l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted),
 'hold_cursors', (
  SELECT pg_catalog.json_agg(h.name) FROM pg_catalog.pg_cursor() AS h WHERE h.is_holdable),
 'temp', pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AND EXISTS (
  SELECT FROM pg_catalog.pg_depend AS d
  WHERE d.refclassid OPERATOR(pg_catalog.=) 2615::pg_catalog.oid
   AND d.refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())
)::pg_catalog.text, pg_catalog.getdatabaseencoding())
FROM (
 SELECT
  pg_catalog.json_agg(pg_catalog.json_build_array(
    s.name, s.setting, s.source, s.reset_val, s.context))
  FILTER (WHERE s.source OPERATOR(pg_catalog.=)
    ANY ('{session,client,user,database,"database user",global}'::pg_catalog.text[])
   AND s.name OPERATOR(pg_catalog.<>)
    ALL ('{transaction_isolation,transaction_read_only,transaction_deferrable}'::pg_catalog.text[])
  ) AS changed,
  pg_catalog.json_agg(s.name) FILTER (
   WHERE pg_catalog.strpos(s.name, '.') OPERATOR(pg_catalog.>) 0) AS dotted
 FROM pg_catalog.pg_show_all_settings() AS s) AS g)sql";

/// What must be asked by name. $1 custom GUCs: one that was never set yields nothing; $2 types.
inline constexpr std::string_view names = R"sql(
SELECT pg_catalog.convert_to(pg_catalog.json_build_object(
 'custom', (
  SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
    c.name, pg_catalog.current_setting(c.name, true)))
  FROM pg_catalog.unnest($1::pg_catalog.text[]) AS c(name)
  WHERE pg_catalog.current_setting(c.name, true) IS NOT NULL),
 'types', (
  SELECT pg_catalog.json_agg(pg_catalog.json_build_array(t.oid::pg_catalog.int8, n.nspname, t.typname))
  FROM pg_catalog.pg_type AS t
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
  WHERE t.oid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.oid[]))
)::pg_catalog.text, pg_catalog.getdatabaseencoding()))sql";

/// Tells by a notice that the session has used nextval(), in a column's default too: asked plainly,
/// every other session would leave an error in the server's log. INFO is sent whatever
/// client_min_messages is, and never logged. SQLSTATE: private_sqlstate.
inline constexpr std::string_view currval = R"sql(
DO LANGUAGE plpgsql $do$ BEGIN
 PERFORM pg_catalog.lastval();
 RAISE INFO USING ERRCODE = 'SLU01', MESSAGE = 'lastval() is defined';
EXCEPTION WHEN object_not_in_prerequisite_state OR insufficient_privilege THEN NULL;
END $do$)sql";

/// Arguments are evaluated from left to right: the old value first.
inline constexpr std::string_view lift_timeout = R"sql(
SELECT pg_catalog.json_build_object(
 'statement_timeout', pg_catalog.current_setting('statement_timeout'),
 'lifted', pg_catalog.set_config('statement_timeout', '0', true)))sql";

}  // namespace pgsluice::proxy::capture_sql
