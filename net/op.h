#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/error.h"
#include "engine/request.h"
#include "net/fields.h"

/// How an op of protocol v2 is described. One description serves the decoders, `authorize`, the fields that
/// are refused as unknown, `karma call --ops` and docs/protocol.md.
namespace karma::net {

/// What a decoder makes of a request's fields: the request, or the refusal that is certain already.
using Decoded = std::variant<Request, Error>;

/// A field as all ops that take it share it: net/op_catalog.h.
struct Field {
    std::string_view name;
    std::string_view other_name = {};  // means the same; empty: there is none
    std::string_view type;             // for people: "string", "number"
    std::string_view meaning;
    /// The members of the object that it is, or of each object in its array, and those after a '|' that mean
    /// the same: "from to", "series|tree key". Empty: it holds no objects.
    std::string_view members = {};
};

/// The range of a number, and what counts where the field is missing. Decoders check with it.
struct Bounds {
    std::uint64_t low = 0;
    std::uint64_t high = std::numeric_limits<std::uint64_t>::max();
    std::optional<std::uint64_t> otherwise = {};
};

/// A field of an op. `needs` and `may` in net/op_catalog.h make them.
struct OpField {
    const Field* field = nullptr;
    bool is_optional = false;
    std::string_view otherwise = {};  // for people: what counts where the field is missing
    std::string_view meaning = {};    // for this op; empty: that of the field
    Bounds bounds = {};               // of a number
};

/// Who may execute an op, and on which nodes.
enum class OpAccess : std::uint8_t {
    read,            // every token, every node
    write,           // tokens that may write, on a node that accepts writes
    write_as_admin,  // tokens that may administrate, on a node that accepts writes
    administrative,  // tokens that may administrate, every node
};

/// An error that an op can give beside those that all can, and when.
struct OpError {
    ErrorCode code = ErrorCode::internal_error;
    std::string_view when;
};

/// A request and its reply. They are run by a test, one op after the other as docs/protocol.md lists them,
/// with one new daemon. In a reply the text "…" stands for any value, and a longer text with "…" in it for
/// any characters there; as the last element of an array, or as the name of a member, for any further ones.
/// In a request it stands for what an earlier reply has there.
struct OpExample {
    std::vector<std::string_view> before = {};  // requests that make what it needs
    std::string_view request = {};              // empty: none, because only nodes send it to each other
    std::string_view reply = {};
};

/// One op of protocol v2.
struct Op {
    std::string_view name;
    std::vector<std::string_view> aliases = {};
    OpAccess access = OpAccess::read;
    bool idempotent = false;  // takes `idempotency_key` and `fingerprint`, which are not in `fields`
    /// Fields that it does not know are never refused, so that nodes of different versions can talk.
    bool ignores_unknown_fields = false;
    std::string_view summary;
    std::vector<OpField> fields = {};
    std::string_view reply;  // its response, in words or as JSON
    std::vector<OpError> errors = {};
    OpExample example = {};
    Decoded (*decode)(const Fields& fields) = nullptr;

    bool writes() const noexcept { return access == OpAccess::write || access == OpAccess::write_as_admin; }
    bool is_for_admins() const noexcept {
        return access == OpAccess::administrative || access == OpAccess::write_as_admin;
    }
};

/// Ops of one subject, in the order in which they are listed.
struct OpGroup {
    std::string_view title;
    std::string_view introduction;
    std::vector<Op> ops = {};
};

/// Each made once, at the first call.
const OpGroup& counter_ops();
const OpGroup& many_counter_ops();
const OpGroup& series_ops();
const OpGroup& ingest_ops();
const OpGroup& snapshot_ops();
const OpGroup& replication_ops();
const OpGroup& event_ops();
const OpGroup& system_ops();

}  // namespace karma::net
