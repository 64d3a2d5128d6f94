#include "tests/model/tree_file.h"

#include <stdexcept>

namespace karma::test::model {

namespace {

[[noreturn]] void refuse(const std::string& what) { throw std::runtime_error("a .tree file: " + what); }

// The few kinds of MessagePack values that such a file has.
class Reader {
public:
    explicit Reader(std::string_view bytes) : bytes_(bytes) {}

    std::uint64_t number() {
        const unsigned tag = byte();
        if (tag < 0x80) return tag;
        if (tag < 0xcc || tag > 0xcf) refuse("no number");
        return big_endian(1U << (tag - 0xcc));
    }
    std::size_t map_size() { return size(0x80, 0xde); }
    std::size_t array_size() { return size(0x90, 0xdc); }
    void name(std::string_view expected) {
        if (byte() != (0xa0 | expected.size()) || bytes_.substr(at_, expected.size()) != expected)
            refuse("no field " + std::string(expected));
        at_ += expected.size();
    }
    bool at_end() const { return at_ == bytes_.size(); }

private:
    unsigned byte() {
        if (at_end()) refuse("cut short");
        return static_cast<unsigned char>(bytes_[at_++]);
    }
    std::uint64_t big_endian(std::size_t count) {
        std::uint64_t number = 0;
        for (; count > 0; --count) number = number << 8U | byte();
        return number;
    }
    std::size_t size(unsigned small, unsigned large) {
        const unsigned tag = byte();
        if ((tag & 0xf0U) == small) return tag & 0x0fU;
        if (tag != large && tag != large + 1) refuse("no map or array");
        return big_endian(tag == large ? 2 : 4);
    }

    std::string_view bytes_;
    std::size_t at_ = 0;
};

}  // namespace

std::string from_base64(std::string_view text) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    std::uint32_t bits = 0;
    unsigned count = 0;
    while (text.ends_with('=')) text.remove_suffix(1);
    for (const char digit : text) {
        const std::size_t value = digits.find(digit);
        if (value == std::string_view::npos) throw std::runtime_error("no base64");
        bits = bits << 6U | static_cast<std::uint32_t>(value);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        bytes += static_cast<char>(bits >> count & 0xffU);
    }
    return bytes;
}

Series read_tree_file(std::string_view bytes) {
    Reader reader(bytes);
    Series series;
    if (reader.map_size() != 2) refuse("not two fields");
    reader.name("branches");
    const std::size_t branches = reader.array_size();
    for (std::size_t branch = 0; branch < branches; ++branch) {
        for (std::size_t keys = reader.map_size(); keys > 0; --keys) {
            const std::uint64_t key = reader.number();
            if (key % branches != branch) refuse("key " + std::to_string(key) + " is in the wrong branch");
            const auto [at, is_new] = series.try_emplace(key);
            if (!is_new) refuse("key " + std::to_string(key) + " is there twice");
            if (reader.map_size() != 2) refuse("not two fields of a key");
            reader.name("table");
            for (std::size_t days = reader.map_size(); days > 0; --days) {
                const std::uint64_t day = reader.number();
                at->second[static_cast<Day>(day)] = reader.number();
            }
            reader.name("total");
            if (reader.number() != total_of(at->second)) refuse("the total of key " + std::to_string(key));
        }
    }
    reader.name("branches_num");
    if (reader.number() != branches || branches != 9 || !reader.at_end()) refuse("its end");
    return series;
}

}  // namespace karma::test::model
