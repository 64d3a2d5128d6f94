#include <set>
#include <string_view>

#include <doctest/doctest.h>

#include "net/authorize.h"
#include "net/op_table.h"

namespace karma::test {

using net::Access;
using net::authorize;
using net::Denial;

namespace {

/// What takes a token that may administrate: docs/configuration.md lists them.
bool is_administration(std::string_view op) {
    static const std::set<std::string_view> list = {
        "snapshot.load",       "replication.subscribe",
        "replication.promote", "replication.fence",
        "replication.promise", "replication.forget_follower",
        "replication.verify",  "idempotency.snapshot_fetch_chunk"};
    return list.contains(op);
}

}  // namespace

TEST_CASE("authorize: each op is for those who may execute it, in the roles that allow it") {
    for (const net::OpName& entry : net::all_ops()) {
        const net::Op& op = entry.op;
        CAPTURE(entry.name);
        for (const bool accepts_writes : {true, false}) {
            CHECK(authorize(op, Access::Level::none, accepts_writes) == Denial::no_access);
        }
        CHECK(authorize(op, Access::Level::admin, true) == Denial::none);
        CHECK(authorize(op, Access::Level::admin, false) == (op.writes() ? Denial::role : Denial::none));
        CHECK(op.is_for_admins() == is_administration(op.name));
        const Denial as_writer = op.is_for_admins() ? Denial::not_admin : Denial::none;
        CHECK(authorize(op, Access::Level::write, true) == as_writer);
        const bool is_for_all = op.writes() || op.is_for_admins();
        CHECK(authorize(op, Access::Level::read, true) == (is_for_all ? Denial::read_only : Denial::none));
        CHECK(authorize(op, Access::Level::read, false) == (is_for_all ? Denial::read_only : Denial::none));
    }
    CHECK(authorize(*net::find_op("counter.increment"), Access::Level::read, true) == Denial::read_only);
    CHECK(authorize(*net::find_op("replication.promote"), Access::Level::read, true) == Denial::read_only);
    CHECK(authorize(*net::find_op("replication.promote"), Access::Level::admin, false) == Denial::none);
    CHECK(authorize(*net::find_op("counter.sum"), Access::Level::read, false) == Denial::none);
}

TEST_CASE("authorize: a denial says what is denied") {
    const net::Op& op = *net::find_op("series.increment");
    CHECK(net::denial_error(Denial::no_access, op).code == ErrorCode::unauthorized);
    CHECK(net::denial_error(Denial::read_only, op).message ==
          "Read-only token cannot execute counter.increment");
    CHECK(net::denial_error(Denial::not_admin, op).message ==
          "Token without admin access cannot execute counter.increment");
    CHECK(net::denial_error(Denial::role, op).message == "Slave role cannot execute counter.increment");
}

}  // namespace karma::test
