#include "persist/hash_seed.h"

#include <charconv>
#include <random>

#include "engine/error.h"

namespace karma {
namespace {

constexpr const char* hash_seed_key = "hash_seed";

}  // namespace

std::optional<std::uint64_t> read_hash_seed(const Storage& storage) {
    const std::optional<std::string> stored = storage.read(Table::meta, hash_seed_key);
    if (!stored) {
        return std::nullopt;
    }
    std::uint64_t seed = 0;
    const auto [end, failure] = std::from_chars(stored->data(), stored->data() + stored->size(), seed);
    if (failure != std::errc{} || end != stored->data() + stored->size()) {
        throw CorruptionError("the database's hash seed is not a number");
    }
    return seed;
}

std::uint64_t ensure_hash_seed(Storage& storage) {
    if (const std::optional<std::uint64_t> stored = read_hash_seed(storage)) {
        return *stored;
    }
    std::random_device device;
    const std::uint64_t seed = (std::uint64_t{device()} << 32U) | device();
    write_hash_seed(storage, seed);
    return seed;
}

void write_hash_seed(Storage& storage, std::uint64_t seed) {
    const RecordChange change{Table::meta, hash_seed_key, std::to_string(seed)};
    storage.write(std::span(&change, 1), true);
}

}  // namespace karma
