# SPDX-License-Identifier: Apache-2.0
# What `cmake --install BUILD [--component NAME]` puts where; docs/installation.md has the table.
#
#   consumer      polku-consumer with what it reads: sql/, schemas, default rules, settings
#   producer      polku-producer, mappings as examples
#   library       libpolku-producer.so.N, for programs that are linked with it
#   development   header, archive, pkg-config and CMake files, manual of the library
#   consumer-man, consumer-completion, producer-man, producer-completion, systemd   what their names say
set(POLKU_DATA_DIR "${CMAKE_INSTALL_DATADIR}/polku") # common/CMakeLists.txt tells the programs
set(POLKU_SHARE "${CMAKE_INSTALL_FULL_DATADIR}/polku")
set(POLKU_ETC "${CMAKE_INSTALL_FULL_SYSCONFDIR}/polku")

# polku_settings(FILE... COMPONENT name): into etc/polku, but never over a file that is there: it may have been edited.
function(polku_settings)
  cmake_parse_arguments(ARG "" "COMPONENT" "" ${ARGN})
  foreach(file ${ARG_UNPARSED_ARGUMENTS})
    cmake_path(GET file FILENAME name)
    install(CODE "
      set(to \"${CMAKE_INSTALL_SYSCONFDIR}/polku\")
      if(NOT IS_ABSOLUTE \"\${to}\" AND CMAKE_INSTALL_PREFIX STREQUAL \"/usr\")
        set(to \"/\${to}\") # as GNUInstallDirs says
      elseif(NOT IS_ABSOLUTE \"\${to}\")
        set(to \"\${CMAKE_INSTALL_PREFIX}/\${to}\")
      endif()
      if(EXISTS \"\$ENV{DESTDIR}\${to}/${name}\")
        message(STATUS \"Left as it is: \$ENV{DESTDIR}\${to}/${name}\")
      else()
        message(STATUS \"Installing: \$ENV{DESTDIR}\${to}/${name}\")
        set(POLKU_ETC \"\${to}\")
        set(POLKU_SHARE \"${CMAKE_INSTALL_DATADIR}/polku\")
        cmake_path(ABSOLUTE_PATH POLKU_SHARE BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\")
        configure_file(\"${PROJECT_SOURCE_DIR}/${file}\" \"\$ENV{DESTDIR}\${to}/${name}\" @ONLY NO_SOURCE_PERMISSIONS)
      endif()" COMPONENT ${ARG_COMPONENT})
  endforeach()
endfunction()

install(TARGETS polku-consumer RUNTIME COMPONENT consumer)
install(DIRECTORY sql/migrations DESTINATION "${POLKU_DATA_DIR}/sql" COMPONENT consumer FILES_MATCHING PATTERN "*.sql")
install(FILES sql/roles.sql DESTINATION "${POLKU_DATA_DIR}/sql" COMPONENT consumer)
install(FILES deploy/polku.yaml DESTINATION "${POLKU_DATA_DIR}" COMPONENT consumer)
install(DIRECTORY schemas/ DESTINATION "${POLKU_DATA_DIR}/schemas" COMPONENT consumer
        FILES_MATCHING PATTERN "*.avsc" PATTERN "*.yaml" PATTERN examples EXCLUDE PATTERN golden EXCLUDE)
polku_settings(deploy/etc/consumer.conf deploy/polku.yaml COMPONENT consumer)

install(TARGETS polku-producer RUNTIME COMPONENT producer)
install(DIRECTORY deploy/mappings DESTINATION "${POLKU_DATA_DIR}" COMPONENT producer)

if(TARGET polku_producer_shared)
  include(CMakePackageConfigHelpers)
  # The same prefix wherever it is unpacked to: relative to the file itself.
  file(RELATIVE_PATH up "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
  set(PC_PREFIX "\${pcfiledir}/${up}")
  string(REGEX REPLACE "/$" "" PC_PREFIX "${PC_PREFIX}")
  foreach(name LIBDIR INCLUDEDIR)
    set(PC_${name} "${CMAKE_INSTALL_${name}}")
    if(NOT IS_ABSOLUTE "${PC_${name}}")
      set(PC_${name} "\${prefix}/${PC_${name}}")
    endif()
  endforeach()
  configure_file(cmake/polku-producer.pc.in "${PROJECT_BINARY_DIR}/polku-producer.pc" @ONLY)
  write_basic_package_version_file("${PROJECT_BINARY_DIR}/polku-producer-config-version.cmake" COMPATIBILITY SameMinorVersion)

  install(TARGETS polku_producer_shared EXPORT polku-producer
          LIBRARY COMPONENT library NAMELINK_COMPONENT development)
  install(TARGETS polku_producer_static ARCHIVE COMPONENT development)
  install(DIRECTORY producer/include/polku DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development)
  install(FILES "${PROJECT_BINARY_DIR}/polku-producer.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT development)
  install(EXPORT polku-producer FILE polku-producer-config.cmake NAMESPACE polku::
          DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/polku-producer" COMPONENT development)
  install(FILES "${PROJECT_BINARY_DIR}/polku-producer-config-version.cmake"
          DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/polku-producer" COMPONENT development)
endif()

# ---- manual, completion, service ----

if(NOT POLKU_SANITIZE AND NOT POLKU_FUZZ)
  set(manual "${PROJECT_BINARY_DIR}/manual")
  foreach(program consumer producer)
    add_custom_command(
      OUTPUT "${manual}/polku-${program}.1" "${manual}/polku-${program}"
      COMMAND polku-${program} options --man > "${manual}/polku-${program}.1"
      COMMAND polku-${program} options --bash > "${manual}/polku-${program}"
      DEPENDS polku-${program} VERBATIM)
    list(APPEND made "${manual}/polku-${program}.1" "${manual}/polku-${program}")
    install(FILES "${manual}/polku-${program}.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT ${program}-man)
    install(FILES "${manual}/polku-${program}" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
            COMPONENT ${program}-completion)
  endforeach()
  file(MAKE_DIRECTORY "${manual}")
  add_custom_target(polku_manual ALL DEPENDS ${made})

  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS deploy/examples/c/send_event.c)
  file(READ deploy/examples/c/send_event.c EXAMPLE)
  string(REPLACE "\\" "\\e" EXAMPLE "${EXAMPLE}")
  string(REPLACE "-" "\\-" EXAMPLE "${EXAMPLE}")
  string(REGEX REPLACE "^/\\*[^\n]*\n" "" EXAMPLE "${EXAMPLE}") # the licence
  string(STRIP "${EXAMPLE}" EXAMPLE)
  configure_file(docs/man/libpolku-producer.3 "${manual}/libpolku-producer.3" @ONLY)
  configure_file(docs/man/polku.yaml.5 "${manual}/polku.yaml.5" @ONLY)
  install(FILES "${manual}/polku.yaml.5" DESTINATION "${CMAKE_INSTALL_MANDIR}/man5" COMPONENT consumer-man)
  install(FILES "${manual}/libpolku-producer.3" DESTINATION "${CMAKE_INSTALL_MANDIR}/man3" COMPONENT development)
  file(STRINGS producer/libpolku-producer.map lines REGEX "^    polku_.*;$")
  foreach(line ${lines})
    string(REGEX REPLACE "^ *(polku_[a-z_]*).*" "\\1" name "${line}")
    file(CONFIGURE OUTPUT "${manual}/${name}.3" CONTENT ".so man3/libpolku-producer.3\n")
    install(FILES "${manual}/${name}.3" DESTINATION "${CMAKE_INSTALL_MANDIR}/man3" COMPONENT development)
  endforeach()

  configure_file(deploy/systemd/polku-consumer@.service.in "${manual}/polku-consumer@.service" @ONLY)
  set(POLKU_SYSTEMD_DIR "lib/systemd/system" CACHE PATH "where units go")
  install(FILES "${manual}/polku-consumer@.service" DESTINATION "${POLKU_SYSTEMD_DIR}" COMPONENT systemd)
endif()

include(cmake/package.cmake)
