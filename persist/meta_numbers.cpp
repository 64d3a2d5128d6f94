#include "persist/meta_numbers.h"

#include <charconv>
#include <string>

#include "engine/error.h"

namespace karma {
namespace {

[[noreturn]] void damaged(const char* key, std::size_t count) {
    throw CorruptionError("the record " + std::string(key) + " of the database is damaged: it is not " +
                          (count == 1 ? "a number" : std::to_string(count) + " numbers"));
}

}  // namespace

std::optional<std::vector<std::uint64_t>> read_meta_numbers(const RecordTables& tables, const char* key,
                                                            std::size_t count) {
    const std::optional<std::string> stored = tables.read(Table::meta, key);
    if (!stored) {
        return std::nullopt;
    }
    std::vector<std::uint64_t> numbers(count);
    const char* at = stored->data();
    const char* const end = at + stored->size();
    for (std::size_t i = 0; i < count; ++i) {
        if (i != 0 && (at == end || *at++ != ' ')) {
            damaged(key, count);
        }
        const auto [next, failure] = std::from_chars(at, end, numbers[i]);
        if (failure != std::errc{}) {
            damaged(key, count);
        }
        at = next;
    }
    if (at != end) {
        damaged(key, count);
    }
    return numbers;
}

std::optional<std::uint64_t> read_meta_number(const RecordTables& tables, const char* key) {
    const auto numbers = read_meta_numbers(tables, key, 1);
    return numbers ? std::optional(numbers->front()) : std::nullopt;
}

RecordChange meta_numbers_change(const char* key, std::initializer_list<std::uint64_t> numbers) {
    std::string text;
    for (const std::uint64_t number : numbers) {
        text += (text.empty() ? "" : " ") + std::to_string(number);
    }
    return {Table::meta, key, std::move(text)};
}

}  // namespace karma
