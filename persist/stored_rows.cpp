#include "persist/stored_rows.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KARMA_THREAD_SANITIZER
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define KARMA_THREAD_SANITIZER
#endif

namespace karma {

StoredRows::StoredRows(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* family,
                       const rocksdb::ReadOptions& options)
    : rows_(database.NewIterator(options, family)) {}

#ifdef KARMA_THREAD_SANITIZER

// The distributions' RocksDB is not built for ThreadSanitizer, which therefore does not see how the library's
// writers and readers synchronise: whoever read the library's memory would seem to race with whoever wrote
// it. So it is read here alone, unseen: byte by byte and volatile, since memcpy would be seen.
__attribute__((no_sanitize("thread"))) std::string_view StoredRows::shown(const rocksdb::Slice& bytes,
                                                                          std::string& copy) {
    copy.resize(bytes.size());
    char* to = copy.data();
    const volatile char* from = bytes.data();
    const volatile char* const end = from + bytes.size();
    while (from != end) {
        *to++ = *from++;
    }
    return copy;
}

#else

std::string_view StoredRows::shown(const rocksdb::Slice& bytes, std::string& /*copy*/) {
    return bytes.ToStringView();
}

#endif
#undef KARMA_THREAD_SANITIZER

}  // namespace karma
