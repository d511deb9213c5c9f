// Whether a text holds one byte followed by one of two others: the filter in front of the work on
// names, which every open and stat of the process passes.
#pragma once

#include <cstddef>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace benchfs {

inline bool has_pair(std::string_view text, char first, char second, char or_second) {
  std::size_t i = 0;
#if defined(__SSE2__)
  const __m128i one = _mm_set1_epi8(first);
  const __m128i two = _mm_set1_epi8(second);
  const __m128i or_two = _mm_set1_epi8(or_second);
  for (; i + 17 <= text.size(); i += 16) {
    const auto* const at = reinterpret_cast<const __m128i*>(text.data() + i);
    const auto* const next = reinterpret_cast<const __m128i*>(text.data() + i + 1);
    const __m128i ahead = _mm_loadu_si128(next);
    const __m128i match =
        _mm_and_si128(_mm_cmpeq_epi8(_mm_loadu_si128(at), one),
                      _mm_or_si128(_mm_cmpeq_epi8(ahead, two), _mm_cmpeq_epi8(ahead, or_two)));
    if (_mm_movemask_epi8(match) != 0) return true;
  }
#endif
  for (; i + 1 < text.size(); ++i)
    if (text[i] == first && (text[i + 1] == second || text[i + 1] == or_second)) return true;
  return false;
}

}  // namespace benchfs
