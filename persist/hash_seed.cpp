#include "persist/hash_seed.h"

#include "persist/meta_numbers.h"

namespace karma {
namespace {

constexpr const char* hash_seed_key = "hash_seed";

}  // namespace

std::optional<std::uint64_t> read_hash_seed(const RecordTables& tables) {
    return read_meta_number(tables, hash_seed_key);
}

std::uint64_t ensure_hash_seed(RecordTables& tables, const std::function<std::uint64_t()>& random) {
    if (const std::optional<std::uint64_t> stored = read_hash_seed(tables)) {
        return *stored;
    }
    const std::uint64_t seed = random();
    write_hash_seed(tables, seed);
    return seed;
}

RecordChange hash_seed_change(std::uint64_t seed) { return meta_numbers_change(hash_seed_key, {seed}); }

void write_hash_seed(RecordTables& tables, std::uint64_t seed) {
    const RecordChange change = hash_seed_change(seed);
    tables.write(std::span(&change, 1), true);
}

}  // namespace karma
