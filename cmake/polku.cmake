# SPDX-License-Identifier: Apache-2.0
# Flags for all targets, and the two helpers that every CMakeLists.txt here uses.

add_compile_options(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
                    -Wpointer-arith -Wformat=2 -Werror=format-security -Wno-missing-field-initializers
                    $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation> # fixed-size error texts are cut on purpose
                    -fno-strict-aliasing -fno-omit-frame-pointer)
# Empty, so that a file may define it again. memmem and accept4 are declared with it only.
add_compile_definitions(_GNU_SOURCE=)
if(POLKU_WERROR)
  add_compile_options(-Werror)
endif()
if(POLKU_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
else()
  # tests/security/hardening.py reads from the programs that all of this is in them.
  include(CheckCCompilerFlag)
  check_c_compiler_flag(-fcf-protection=full POLKU_HAS_CF_PROTECTION) # x86 only
  add_compile_options($<$<NOT:$<OR:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,MODULE_LIBRARY>,$<BOOL:$<TARGET_PROPERTY:POSITION_INDEPENDENT_CODE>>>>:-fPIE> -fstack-protector-strong -fstack-clash-protection
                      $<$<BOOL:${POLKU_HAS_CF_PROTECTION}>:-fcf-protection=full>
                      $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE>
                      $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie> -Wl,-z,relro,-z,now,-z,noexecstack)
endif()

if(POLKU_FUZZ)
  # Coverage for libFuzzer, which tests/fuzz links. clang does not see that avro-c's macros fill what they are given.
  add_compile_options(-fsanitize=fuzzer-no-link -Wno-sometimes-uninitialized -Wno-format-zero-length)
endif()

# polku_library(NAME SOURCES a.c ... [LINK targets ...])
# A static library whose headers are found as "name.h" from its own folder.
function(polku_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
endfunction()

# polku_test(NAME SOURCES a.c ... [LINK targets ...] [LABELS unit|property|integration ...] [TIMEOUT s])
# A Criterion program registered with CTest; its label says which tier runs it.
function(polku_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK;LABELS" ${ARGN})
  if(NOT TARGET PkgConfig::CRITERION)
    pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET criterion)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_compile_definitions(${name} PRIVATE POLKU_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # Criterion's Test() defines functions without a prototype.
  target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
  target_link_libraries(${name} PRIVATE ${ARG_LINK} PkgConfig::CRITERION)
  add_test(NAME ${name} COMMAND ${name} --jobs 2)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
