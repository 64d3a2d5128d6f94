#include "cli/batch_builder.h"

#include <array>
#include <charconv>

#include "cli/command_line.h"
#include "cli/json_text.h"

namespace karma::cli {

namespace {

constexpr std::string_view longest_item = ",[18446744073709551615,99991231,18446744073709551615]";
constexpr std::string_view before_number = "],\"chunk_seq\":";
constexpr std::string_view longest_tail = "],\"chunk_seq\":18446744073709551615}";

constexpr std::size_t most_digits = 20;

char* write_number(char* at, std::uint64_t number) { return std::to_chars(at, at + most_digits, number).ptr; }

}  // namespace

BatchBuilder::BatchBuilder(const ImportStream& stream, std::string_view token, const BatchLimits& limits)
    : limits_(limits) {
    text_ = R"({"v":2,"op":"ingest.chunk",)";
    std::size_t token_room = token_bytes;
    if (!token.empty()) {
        const std::string field = "\"token\":" + json_string(token) + ',';
        token_room = token_room > field.size() ? token_room - field.size() : 0;
        text_ += field;
    }
    text_ += "\"stream_id\":" + json_string(stream.stream_id()) +
             ",\"series\":" + json_string(stream.series) + ",\"items\":[";
    head_bytes_ = text_.size();
    const std::size_t beside_items = token_room + longest_tail.size();
    const std::size_t needed = head_bytes_ + longest_item.size() - 1 + beside_items;
    if (limits_.request_bytes < needed) {
        throw UsageError("--request-bytes " + std::to_string(limits_.request_bytes) +
                         " is too small: a request with one row of this series takes up to " +
                         std::to_string(needed) + " bytes");
    }
    text_bytes_max_ = limits_.request_bytes - beside_items;
}

std::string BatchBuilder::cutting(std::uint64_t first_line) const {
    return "from_line=" + std::to_string(first_line) + " batch_items=" + std::to_string(limits_.items) +
           " bytes_of_items=" + std::to_string(text_bytes_max_ - head_bytes_);
}

bool BatchBuilder::add(const CsvRow& row) {
    if (batch_.rows == limits_.items) return false;
    constexpr std::size_t most_bytes = 3 * most_digits + 5;
    std::array<char, most_bytes> item;  // NOLINT(cppcoreguidelines-pro-type-member-init): written below
    char* at = item.data();
    if (batch_.rows != 0) *at++ = ',';
    *at++ = '[';
    at = write_number(at, row.key);
    *at++ = ',';
    at = write_number(at, row.bucket);
    *at++ = ',';
    at = write_number(at, row.value);
    *at++ = ']';
    const auto bytes = static_cast<std::size_t>(at - item.data());
    if (text_.size() + bytes > text_bytes_max_) return false;

    text_.append(item.data(), bytes);
    if (batch_.rows == 0) batch_.first_line = row.line;
    ++batch_.rows;
    batch_.last_line = row.line;
    batch_.total += row.value;
    return true;
}

std::string_view BatchBuilder::request(std::uint64_t chunk_seq) {
    text_ += before_number;
    text_ += std::to_string(chunk_seq);
    text_ += '}';
    return text_;
}

void BatchBuilder::clear() {
    text_.resize(head_bytes_);
    batch_ = Batch{};
}

}  // namespace karma::cli
