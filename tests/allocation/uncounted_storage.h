#pragma once

#include "tests/allocation/counted_memory.h"
#include "tests/persist/faulty_storage.h"

namespace karma::test {

// What it allocates for a group is its own: neither counted nor failed.
class UncountedStorage final : public ForwardingStorage {
public:
    using ForwardingStorage::ForwardingStorage;

    void append(const EventGroup& group, std::span<const RecordChange> records, bool sync) override {
        const Uncounted uncounted;
        ForwardingStorage::append(group, records, sync);
    }
};

}  // namespace karma::test
