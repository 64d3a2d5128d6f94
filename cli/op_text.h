#pragma once

#include <iosfwd>
#include <string>

namespace karma::net {
struct Op;
struct OpField;
}  // namespace karma::net

/// The descriptions of ops (net/op.h) as text.
namespace karma::cli {

/// `karma call --ops`: every op with its fields, those in brackets optional, and what it does.
void print_ops(std::ostream& out);

/// `karma call OP --help`.
void print_op_help(std::ostream& out, const net::Op& op);

/// `karma call --ops=markdown`: docs/protocol.md.
void print_protocol_page(std::ostream& out);

/// What a field of an op means, with its range: "the amount, at least 1".
std::string field_meaning(const net::OpField& field);

/// What counts where an optional field is missing: "1", "the current UTC day"; empty where nothing does.
std::string field_default(const net::OpField& field);

/// Who may execute an op: "read", "write", "admin".
const char* access_text(const net::Op& op) noexcept;

/// The whole reply line of an example: the description holds the response, or "error_code: message".
std::string example_reply(const net::Op& op);

}  // namespace karma::cli
