use super::common::Run;
