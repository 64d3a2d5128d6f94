#include "net/op_fields.h"

#include <algorithm>
#include <array>
#include <span>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "net/nearest_word.h"
#include "net/op_catalog.h"
#include "net/text_parts.h"

namespace karma::net {
namespace {

std::string sentence(const Op& op, std::string_view name, std::span<const std::string_view> known,
                     const std::string& prefix) {
    constexpr std::size_t compared_max = 64;
    const std::string_view compared = name.substr(0, compared_max);
    std::string text = "Field " + prefix + std::string(compared) + " is unknown to " + std::string(op.name);
    if (!known.empty()) {
        text += ": the nearest known one is " + prefix + std::string(nearest_word(name, known));
    }
    const std::string fields = op_fields_text(op);
    return text + (fields.empty() ? "; it takes no fields" : "; it takes " + fields);
}

std::optional<std::string> unknown_member(const Op& op, const boost::json::object& object,
                                          std::span<const std::string_view> known,
                                          const std::string& prefix) {
    for (const auto& member : object) {
        const std::string_view name = member.key();
        if (std::ranges::find(known, name) == known.end()) return sentence(op, name, known, prefix);
    }
    return std::nullopt;
}

std::vector<std::string_view> member_names(const Field& field) {
    std::vector<std::string_view> names;
    for_each_part(field.members, ' ', [&](std::string_view same) {
        for_each_part(same, '|', [&](std::string_view name) { names.push_back(name); });
    });
    return names;
}

/// The same for the object, or the objects in the array, that a field holds.
std::optional<std::string> unknown_inside(const Op& op, const Field& field,
                                          const boost::json::object& request) {
    const boost::json::value* const value = field.members.empty() ? nullptr : request.if_contains(field.name);
    if (value == nullptr) {
        return std::nullopt;
    }
    const std::vector<std::string_view> known = member_names(field);
    const std::string name(field.name);
    if (value->is_object()) {
        return unknown_member(op, value->get_object(), known, name + ".");
    }
    if (value->is_array()) {
        for (const boost::json::value& item : value->get_array()) {
            std::optional<std::string> inside;
            if (item.is_object()) {
                inside = unknown_member(op, item.get_object(), known, name + "[].");
            }
            if (inside) {
                return inside;
            }
        }
    }
    return std::nullopt;
}

}  // namespace

std::vector<OpField> op_fields(const Op& op) {
    std::vector<OpField> all = op.fields;
    if (op.idempotent) {
        all.push_back(may(field::idempotency_key, "null"));
        all.push_back(may(field::fingerprint, "null"));
    }
    return all;
}

std::string op_fields_text(const Op& op) {
    std::string text;
    for (const OpField& described : op_fields(op)) {
        const Field& field = *described.field;
        text.append(text.empty() ? "" : " ").append(described.is_optional ? "[" : "").append(field.name);
        text.append(field.other_name.empty() ? "" : "|").append(field.other_name);
        text.append(described.is_optional ? "]" : "");
    }
    return text;
}

std::vector<std::string_view> op_field_names(const Op& op) {
    std::vector<std::string_view> all;
    for (const OpField& described : op_fields(op)) {
        all.push_back(described.field->name);
        if (!described.field->other_name.empty()) {
            all.push_back(described.field->other_name);
        }
    }
    return all;
}

std::optional<std::string> unknown_field(const Op& op, const boost::json::object& request) {
    static constexpr std::array<std::string_view, 3> of_all = {"v", "op", "token"};
    if (op.ignores_unknown_fields) {
        return std::nullopt;
    }
    const std::vector<std::string_view> known = op_field_names(op);
    for (const auto& member : request) {
        const std::string_view name = member.key();
        if (std::ranges::find(of_all, name) == of_all.end() &&
            std::ranges::find(known, name) == known.end()) {
            return sentence(op, name, known, "");
        }
    }
    for (const OpField& described : op.fields) {
        if (std::optional<std::string> inside = unknown_inside(op, *described.field, request)) {
            return inside;
        }
    }
    return std::nullopt;
}

}  // namespace karma::net
