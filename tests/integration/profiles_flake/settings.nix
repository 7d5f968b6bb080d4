{
  version = "1";
  fault = "";
}
