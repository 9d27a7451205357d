package peer;

import org.openmuc.jdlms.AttributeAccessMode;
import org.openmuc.jdlms.AuthenticationMechanism;
import org.openmuc.jdlms.CosemAttribute;
import org.openmuc.jdlms.CosemClass;
import org.openmuc.jdlms.CosemSnInterfaceObject;
import org.openmuc.jdlms.DlmsServer;
import org.openmuc.jdlms.LogicalDevice;
import org.openmuc.jdlms.SecuritySuite;
import org.openmuc.jdlms.SecuritySuite.EncryptionMechanism;
import org.openmuc.jdlms.SecuritySuite.SecurityPolicy;
import org.openmuc.jdlms.datatypes.CosemDateTime;
import org.openmuc.jdlms.datatypes.CosemDateTime.ClockStatus;
import org.openmuc.jdlms.datatypes.DataObject;
import org.openmuc.jdlms.datatypes.DataObject.Type;
import org.openmuc.jdlms.sessionlayer.server.ServerSessionLayerFactories;
import org.openmuc.jdlms.settings.client.ReferencingMethod;

/**
 * A meter with short names on the TCP port given as the only argument, with the wrapper; it prints "ready" when it listens and ends with
 * its input. Client 16 associates without authentication, client 1 with the password "Passw0rd", client 2 with HLS-GMAC, authenticated
 * and encrypted, client 3 with HLS-GMAC and no ciphering: EK 00..0F and AK D0..DF.
 */
public final class ShortNames {
  private ShortNames() {}

  public static void main(String[] args) throws Exception {
    LogicalDevice device = new LogicalDevice(1, "HES0000000000001", "HES", 1).setMasterKey(key(0x40));
    device.addRestriction(16, plain(AuthenticationMechanism.NONE).build());
    device.addRestriction(1, plain(AuthenticationMechanism.LOW).setPassword("Passw0rd".getBytes()).build());
    device.addRestriction(
        2, gmac(EncryptionMechanism.AES_GCM_128, SecurityPolicy.AUTHENTICATED_AND_ENCRYPTED).build());
    device.addRestriction(3, gmac(EncryptionMechanism.NONE, SecurityPolicy.NOTHING).build());
    device.registerCosemObject(new Clock(), new Data(), new Register());
    DlmsServer server =
        DlmsServer.tcpServerBuilder(Integer.parseInt(args[0]))
            .setSessionLayerFactory(ServerSessionLayerFactories.newWrapperSessionLayerFactory())
            .setReferencingMethod(ReferencingMethod.SHORT)
            .registerLogicalDevice(device)
            .build();
    System.out.println("ready");
    while (System.in.read() >= 0) {
      // until the test closes its end
    }
    server.close();
    System.exit(0);
  }

  private static SecuritySuite.SecuritySuiteBuilder plain(AuthenticationMechanism mechanism) {
    return SecuritySuite.builder()
        .setAuthenticationMechanism(mechanism)
        .setEncryptionMechanism(EncryptionMechanism.NONE)
        .setSecurityPolicy(SecurityPolicy.NOTHING);
  }

  private static SecuritySuite.SecuritySuiteBuilder gmac(EncryptionMechanism encryption, SecurityPolicy policy) {
    return SecuritySuite.builder()
        .setAuthenticationMechanism(AuthenticationMechanism.HLS5_GMAC)
        .setEncryptionMechanism(encryption)
        .setSecurityPolicy(policy)
        .setGlobalUnicastEncryptionKey(key(0x00))
        .setAuthenticationKey(key(0xD0));
  }

  /** Sixteen octets that count up. */
  private static byte[] key(int first) {
    byte[] key = new byte[16];
    for (int i = 0; i < key.length; i++) {
      key[i] = (byte) (first + i);
    }
    return key;
  }

  @CosemClass(id = 8, version = 0)
  public static final class Clock extends CosemSnInterfaceObject {
    @CosemAttribute(id = 2, type = Type.OCTET_STRING, accessMode = AttributeAccessMode.READ_ONLY, snOffset = 0x08)
    private final DataObject time =
        DataObject.newOctetStringData(
            new CosemDateTime(2022, 7, 12, 2, 16, 54, 30, 0, -120, ClockStatus.DAYLIGHT_SAVING_ACTIVE).encode());

    public Clock() {
      super(0x2000, "0.0.1.0.0.255");
    }
  }

  @CosemClass(id = 1, version = 0)
  public static final class Data extends CosemSnInterfaceObject {
    @CosemAttribute(id = 2, type = Type.OCTET_STRING, accessMode = AttributeAccessMode.READ_ONLY, snOffset = 0x08)
    private final DataObject value = DataObject.newOctetStringData("HES00000042".getBytes());

    public Data() {
      super(0x1000, "0.0.96.1.0.255");
    }
  }

  @CosemClass(id = 3, version = 0)
  public static final class Register extends CosemSnInterfaceObject {
    @CosemAttribute(id = 2, type = Type.DOUBLE_LONG_UNSIGNED, accessMode = AttributeAccessMode.READ_ONLY, snOffset = 0x08)
    private final DataObject value = DataObject.newUInteger32Data(123456789L);

    @CosemAttribute(id = 3, type = Type.STRUCTURE, accessMode = AttributeAccessMode.READ_ONLY, snOffset = 0x10)
    private final DataObject unit =
        DataObject.newStructureData(DataObject.newInteger8Data((byte) -1), DataObject.newEnumerateData(30));

    public Register() {
      super(0x3000, "1.0.1.8.0.255");
    }
  }
}
