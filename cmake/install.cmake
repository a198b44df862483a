# SPDX-License-Identifier: Apache-2.0
# What `cmake --install BUILD [--component NAME]` puts where; docs/installation.md has the table.
#
#   consumer      polku-consumer with what it reads: sql/, schemas, default rules, settings
#   producer      polku-producer, mappings as examples
#   library       libpolku-producer.so.N, for programs that are linked with it
#   development   header, archive, pkg-config and CMake files of the library
set(POLKU_DATA_DIR "${CMAKE_INSTALL_DATADIR}/polku") # common/CMakeLists.txt tells the programs

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
        file(INSTALL \"${PROJECT_SOURCE_DIR}/${file}\" DESTINATION \"\${to}\")
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
