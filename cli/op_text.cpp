#include "cli/op_text.h"

#include <algorithm>
#include <ostream>

#include "net/op_fields.h"
#include "net/op_table.h"

namespace karma::cli {
namespace {

void print_head(std::ostream& out, std::string_view name, const net::Op& op) {
    const std::string fields = net::op_fields_text(op);
    out << name << (fields.empty() ? "" : " ") << fields << '\n';
}

std::string names_of_field(const net::Field& field) {
    std::string names(field.name);
    names.append(field.other_name.empty() ? "" : ", ").append(field.other_name);
    return names;
}

void print_fields(std::ostream& out, const net::Op& op) {
    const std::vector<net::OpField> fields = net::op_fields(op);
    if (fields.empty()) {
        return;
    }
    out << "\nFields:\n";
    for (const net::OpField& field : fields) {
        out << "  " << names_of_field(*field.field) << " (" << field.field->type;
        if (field.is_optional) {
            const std::string otherwise = field_default(field);
            out << ", optional" << (otherwise.empty() ? "" : ", default ") << otherwise;
        }
        out << ")\n      " << field_meaning(field) << '\n';
    }
}

}  // namespace

std::string field_meaning(const net::OpField& field) {
    const net::Bounds any;
    std::string text(field.meaning.empty() ? field.field->meaning : field.meaning);
    if (field.bounds.high != any.high) {
        text += ", " + std::to_string(field.bounds.low) + " to " + std::to_string(field.bounds.high);
    } else if (field.bounds.low != any.low) {
        text += ", at least " + std::to_string(field.bounds.low);
    }
    return text;
}

std::string field_default(const net::OpField& field) {
    return field.bounds.otherwise ? std::to_string(*field.bounds.otherwise) : std::string(field.otherwise);
}

const char* access_text(const net::Op& op) noexcept {
    switch (op.access) {
        case net::OpAccess::read: return "read";
        case net::OpAccess::write: return "write";
        case net::OpAccess::write_as_admin:
        case net::OpAccess::administrative: break;
    }
    return "admin";
}

std::string example_reply(const net::Op& op) {
    constexpr std::string_view separator = ": ";
    const std::string reply(op.example.reply);
    const std::size_t end = reply.find(separator);
    // JSON begins with neither of them.
    const bool is_error =
        !reply.empty() && reply.front() >= 'a' && reply.front() <= 'z' && end != std::string::npos;
    if (!is_error) {
        return R"({"protocol_version":2,"success":true,"response":)" + reply + R"(,"error_code":null})";
    }
    return R"({"protocol_version":2,"success":false,"response":")" + reply.substr(end + separator.size()) +
           R"(","error_code":")" + reply.substr(0, end) + R"("})";
}

void print_ops(std::ostream& out) {
    for (const net::OpName& entry : net::all_ops()) {
        print_head(out, entry.name, entry.op);
        if (entry.name == entry.op.name) {
            out << "    " << entry.op.summary << '\n';
        } else {
            out << "    Means the same as " << entry.op.name << ".\n";
        }
    }
}

void print_op_help(std::ostream& out, const net::Op& op) {
    print_head(out, op.name, op);
    out << "\n" << op.summary << "\n\n";
    if (!op.aliases.empty()) {
        out << "Also called:";
        for (const std::string_view alias : op.aliases) {
            out << ' ' << alias;
        }
        out << '\n';
    }
    out << "Access: " << access_text(op) << (op.writes() ? ", on a master\n" : "\n");
    print_fields(out, op);
    out << "\nResponse: " << op.reply << '\n';
    if (!op.errors.empty()) {
        out << "\nErrors, beside those that every op can give:\n";
        for (const net::OpError& error : op.errors) {
            out << "  " << error_code_name(error.code) << ": " << error.when << '\n';
        }
    }
    if (!op.example.request.empty()) {
        out << "\nExample, as it is sent, and its reply:\n  " << op.example.request << "\n  "
            << example_reply(op) << '\n';
    }
}

}  // namespace karma::cli
