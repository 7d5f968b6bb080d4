{
  environment.etc.deployed.text = "1";
}
