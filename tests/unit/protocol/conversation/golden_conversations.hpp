#pragma once

#include <string_view>

namespace pgsluice::protocol {

/// Conversations with a PostgreSQL 15.20 server, from its first ReadyForQuery on, as recorded from
/// a raw socket. Each was seen to have no further answer behind its last line.
///
///   = NAME          starts a conversation
///   # text          what is special about it
///   > TYPE BODY     a message from the client; \\0 and \\xHH are bytes, the length is left out
///   < TYPE BODY     a message from the server; errors without fields F, L, R, W, P and H
///   boundary        the session is at a boundary here; it is not behind any other message
///   unknowable      it is at a boundary, but nobody can tell from the messages so far
///
/// A backslash at the end of a line joins it to the next.
inline constexpr std::string_view golden_conversations = R"golden(
= simple
> Q select 1 as a; select 2 as b\0
< T \0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0
< D \0\x01\0\0\0\x011
< C SELECT 1\0
< T \0\x01b\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0
< D \0\x01\0\0\0\x012
< C SELECT 1\0
< Z I
boundary
= empty_query
> Q \0
< I
< Z I
boundary
> P \0\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
< 1
< 2
< I
< Z I
boundary
= extended
> P \0select 7 as a\0\0\0
> B \0\0\0\0\0\0\0\0
> D P\0
> E \0\0\0\0\0
> S
< 1
< 2
< T \0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0
< D \0\x01\0\0\0\x017
< C SELECT 1\0
< Z I
boundary
= failed_transaction
> Q begin; select 1/0\0
< C BEGIN\0
< E SERROR\0VERROR\0C22012\0Mdivision by zero\0\0
< Z E
> Q select 1\0
< E SERROR\0VERROR\0C25P02\0Mcurrent transaction is aborted, commands ignored until end of \
transaction block\0\0
< Z E
> Q rollback\0
< C ROLLBACK\0
< Z I
boundary
= pipeline_with_error
# Five requests in three Sync groups at once; the second fails at Bind and its Execute is
# skipped.
> P \0select 1 as a\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
> P \0select 2 as a\0\0\0
> B \0nix\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
> P \0select 3 as a\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
< 1
< 2
< D \0\x01\0\0\0\x011
< C SELECT 1\0
< Z I
< 1
< E SERROR\0VERROR\0C26000\0Mprepared statement "nix" does not exist\0\0
< Z I
< 1
< 2
< D \0\x01\0\0\0\x013
< C SELECT 1\0
< Z I
boundary
= portal_suspension
> P \0select generate_series(1,3) as a\0\0\0
> B p\0\0\0\0\0\0\0\0
> D Pp\0
> E p\0\0\0\0\x02
> H
< 1
< 2
< T \0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0
< D \0\x01\0\0\0\x011
< D \0\x01\0\0\0\x012
< s
> E p\0\0\0\0\x02
> H
< D \0\x01\0\0\0\x013
< C SELECT 1\0
> C Pp\0
> S
< 3
< Z I
boundary
= function_call
# int4abs(-5), then a function that does not exist.
> F \0\0\x05u\0\x01\0\x01\0\x01\0\0\0\x04\xff\xff\xff\xfb\0\x01
< V \0\0\0\x04\0\0\0\x05
< Z I
boundary
> F \0\0\0\x01\0\x01\0\x01\0\0\0\x01
< E SERROR\0VERROR\0C42883\0Mfunction with OID 1 does not exist\0\0
< Z I
boundary
= flush_without_sync
> P s1\0select 1 as a\0\0\0
> D Ss1\0
> H
< 1
< t \0\0
< T \0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0
> S
< Z I
boundary
= query_skipped_after_error
# A Query between a failed extended message and the next Sync is skipped, not answered.
> P \0nonsense\0\0\0
> H
< E SERROR\0VERROR\0C42601\0Msyntax error at or near "nonsense"\0\0
> Q select 1\0
> S
< Z I
boundary
= query_ends_an_unsynced_group
# A Query answers for the extended messages before it as a Sync would.
> P \0select 1 as a\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> Q select 2 as b\0
< 1
< 2
< D \0\x01\0\0\0\x011
< C SELECT 1\0
< T \0\x01b\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0
< D \0\x01\0\0\0\x012
< C SELECT 1\0
< Z I
boundary
= copy_out_simple
> Q copy (select generate_series(1,2)) to stdout\0
< H \0\0\x01\0\0
< d 1\x0a
< d 2\x0a
< c
< C COPY 2\0
< Z I
boundary
= copy_out_extended
> P \0copy (select generate_series(1,2)) to stdout\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
< 1
< 2
< H \0\0\x01\0\0
< d 1\x0a
< d 2\x0a
< c
< C COPY 2\0
< Z I
boundary
= copy_in_simple
> Q copy t from stdin\0
< G \0\0\x01\0\0
> d 1\x0a2\x0a
> c
< C COPY 2\0
< Z I
boundary
= copy_in_simple_at_once
# The client does not wait for CopyInResponse.
> Q copy t from stdin\0
> d 1\x0a2\x0a
> c
< G \0\0\x01\0\0
< C COPY 2\0
< Z I
boundary
= copy_in_twice_in_one_query
> Q copy t from stdin; copy t from stdin\0
< G \0\0\x01\0\0
> d 1\x0a2\x0a
> c
< C COPY 2\0
< G \0\0\x01\0\0
> d 1\x0a2\x0a
> c
< C COPY 2\0
< Z I
boundary
= copy_in_simple_refused
> Q copy t from stdin\0
< G \0\0\x01\0\0
> d 1\x0a
> f enough\0
< E SERROR\0VERROR\0C57014\0MCOPY from stdin failed: enough\0\0
< Z I
boundary
= copy_in_simple_bad_row
# The server gives up in the middle; the rest of the copy data is read and ignored.
> Q copy t from stdin\0
< G \0\0\x01\0\0
> d x\x0a
> d 1\x0a2\x0a
> c
< E SERROR\0VERROR\0C22P02\0Minvalid input syntax for type integer: "x"\0\0
< Z I
boundary
= copy_in_extended_double_sync
# What libpq and tokio-postgres do: Sync behind Execute (swallowed by the COPY) and again
# behind CopyDone.
> P \0copy t from stdin\0\0\0
> B \0\0\0\0\0\0\0\0
> D P\0
> E \0\0\0\0\0
> S
< 1
< 2
< n
< G \0\0\x01\0\0
> d 1\x0a2\x0a
> c
> S
< C COPY 2\0
< Z I
boundary
= copy_in_extended_single_sync
> P \0copy t from stdin\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> H
< 1
< 2
< G \0\0\x01\0\0
> d 1\x0a2\x0a
> c
> S
< C COPY 2\0
< Z I
boundary
= copy_in_extended_at_once
> P \0copy t from stdin\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> d 1\x0a2\x0a
> c
> S
< 1
< 2
< G \0\0\x01\0\0
< C COPY 2\0
< Z I
boundary
= copy_in_extended_at_once_swallowing
# As above with a Sync in front of the data, which the COPY swallows.
> P \0copy t from stdin\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
> d 1\x0a2\x0a
> c
> S
< 1
< 2
< G \0\0\x01\0\0
< C COPY 2\0
< Z I
boundary
= copy_in_behind_other_requests
> Q select 1 as a\0
> P \0copy t from stdin\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> d 1\x0a2\x0a
> c
> S
> Q select 2 as a\0
< T \0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0
< D \0\x01\0\0\0\x011
< C SELECT 1\0
< Z I
< 1
< 2
< G \0\0\x01\0\0
< C COPY 2\0
< Z I
< T \0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0
< D \0\x01\0\0\0\x012
< C SELECT 1\0
< Z I
boundary
= copy_in_extended_bad_row_double_sync
# After the error the server skips to the second Sync; that the first was swallowed only the
# client can hope.
> P \0copy t from stdin\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
< 1
< 2
< G \0\0\x01\0\0
> d x\x0a
> d 1\x0a2\x0a
> c
> S
< E SERROR\0VERROR\0C22P02\0Minvalid input syntax for type integer: "x"\0\0
< Z I
unknowable
> P \0select 1 as a\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
< 1
< 2
< D \0\x01\0\0\0\x011
< C SELECT 1\0
< Z I
boundary
= copy_in_extended_fails_before_reading
# The COPY fails behind CopyInResponse without reading anything, so the first Sync is
# answered.
> P \0copy v from stdin\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
< 1
< 2
< G \0\0\x01\0\0
< E SERROR\0VERROR\0C42809\0Mcannot copy to view "v"\0\0
< Z I
boundary
> P \0select 1 as a\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
< 1
< 2
< D \0\x01\0\0\0\x011
< C SELECT 1\0
< Z I
boundary
= copy_in_extended_fails_before_reading_two_syncs
# As above with a client that has sent the second Sync already: two ReadyForQuery.
> P \0copy v from stdin\0\0\0
> B \0\0\0\0\0\0\0\0
> E \0\0\0\0\0
> S
> d 1\x0a2\x0a
> c
> S
< 1
< 2
< G \0\0\x01\0\0
< E SERROR\0VERROR\0C42809\0Mcannot copy to view "v"\0\0
< Z I
< Z I
boundary
> Q select 1 as a\0
< T \0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0
< D \0\x01\0\0\0\x011
< C SELECT 1\0
< Z I
boundary
= copy_stray
# Copy messages outside COPY are ignored.
> c
boundary
> d 1\x0a2\x0a
boundary
> f x\0
boundary
> Q select 1 as a\0
< T \0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0
< D \0\x01\0\0\0\x011
< C SELECT 1\0
< Z I
boundary
)golden";

}  // namespace pgsluice::protocol
