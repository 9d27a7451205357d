package peer;

import gurux.dlms.GXServerReply;
import gurux.dlms.ValueEventArgs;
import gurux.dlms.enums.AccessMode;
import gurux.dlms.enums.Conformance;
import gurux.dlms.enums.DataType;
import gurux.dlms.objects.GXDLMSAssociationLogicalName;
import gurux.dlms.objects.GXDLMSClock;
import gurux.dlms.objects.GXDLMSData;
import gurux.dlms.objects.GXDLMSImageTransfer;
import gurux.dlms.objects.enums.ImageTransferStatus;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.Field;
import java.net.DatagramPacket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.MulticastSocket;
import java.net.NetworkInterface;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * A meter of gurux.dlms that takes firmware, on TCP with the wrapper; it ends with its input.
 *
 * <p>Initiation, blocks, their bitmap and the first one missing are gurux' own; what a method of the standard does beyond (to verify,
 * to activate, to restart) is written here, as gurux leaves it to whoever has the meter. Arguments: octets of a block; each how many
 * blocks one is lost the first time it comes, 0 for none; milliseconds that a restart takes; and, where it hears a group, the group's
 * address and port, its broadcast key and its authentication key. It prints its port; then a line for each initiation, block, block
 * that came by the group, verification (SHA-256 and size of what it holds), activation and connection.
 */
public final class Images {
  private static final GXDLMSImageTransfer IMAGE = new GXDLMSImageTransfer("0.0.44.0.0.255");
  private static final GXDLMSData VERSION = new GXDLMSData("1.0.0.2.0.255");
  private static final Set<Long> LOST = ConcurrentHashMap.newKeySet();
  private static final Set<Socket> OPEN = ConcurrentHashMap.newKeySet();
  private static long verifiedAt = Long.MAX_VALUE;
  private static long awayUntil;
  private static int every;
  private static int restartMs;
  private static String name = "";

  private Images() {}

  public static void main(String[] args) throws Exception {
    IMAGE.setImageBlockSize(Integer.parseInt(args[0]));
    IMAGE.setImageTransferEnabled(true);
    every = Integer.parseInt(args[1]);
    restartMs = Integer.parseInt(args[2]);
    VERSION.setValue("1.4".getBytes());
    VERSION.setDataType(2, DataType.OCTET_STRING);
    ServerSocket listener = Base.port();
    if (args.length > 3) {
      Ear ear = new Ear(HexFormat.of().parseHex(args[5]), HexFormat.of().parseHex(args[6]));
      MulticastSocket group = new MulticastSocket(new InetSocketAddress(args[3], Integer.parseInt(args[4])));
      NetworkInterface here = NetworkInterface.getByInetAddress(InetAddress.getLoopbackAddress());
      group.joinGroup(new InetSocketAddress(args[3], 0), here);
      Base.beside(() -> hear(group, ear));
    }
    System.out.println(listener.getLocalPort());
    Base.beside(() -> listen(listener));
    Base.untilInputEnds();
  }

  private static void listen(ServerSocket listener) {
    while (true) {
      try {
        Socket line = listener.accept();
        if (System.currentTimeMillis() < awayUntil) {
          line.close();
          continue;
        }
        OPEN.add(line);
        System.out.println("connected");
        Base.beside(() -> serve(line));
      } catch (IOException error) {
        error.printStackTrace();
      }
    }
  }

  /** What is said to the group is never answered, whatever becomes of it. */
  private static void hear(MulticastSocket group, Ear ear) {
    byte[] room = new byte[65_535];
    while (true) {
      try {
        DatagramPacket said = new DatagramPacket(room, room.length);
        group.receive(said);
        byte[] frame = ear.opened(Arrays.copyOf(room, said.getLength()));
        synchronized (IMAGE) {
          ear.handleRequest(new GXServerReply(frame));
        }
      } catch (Exception error) {
        System.out.println("refused " + error.getMessage());
      }
    }
  }

  private static void serve(Socket line) {
    try (line) {
      Server meter = new Server("block ");
      DataInputStream in = new DataInputStream(line.getInputStream());
      OutputStream out = line.getOutputStream();
      while (true) {
        GXServerReply reply = new GXServerReply(Base.frame(in));
        synchronized (IMAGE) {
          if (System.currentTimeMillis() >= verifiedAt) {
            verifiedAt = Long.MAX_VALUE;
            verify();
          }
          meter.handleRequest(reply);
        }
        if (reply.getReply() != null) {
          out.write(reply.getReply());
        }
        if (awayUntil > System.currentTimeMillis()) {
          for (Socket other : OPEN) {
            other.close();
          }
        }
      }
    } catch (Exception ended) {
      // the client has left
    } finally {
      OPEN.remove(line);
    }
  }

  /** The octets that gurux has kept, in order. */
  private static byte[] held() throws Exception {
    Field field = GXDLMSImageTransfer.class.getDeclaredField("imageData");
    field.setAccessible(true);
    java.io.ByteArrayOutputStream all = new java.io.ByteArrayOutputStream();
    for (Map.Entry<?, ?> part : new TreeMap<>((Map<?, ?>) field.get(IMAGE)).entrySet()) {
      all.write((byte[]) part.getValue());
    }
    return all.toByteArray();
  }

  private static void verify() throws Exception {
    byte[] all = held();
    String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(all));
    boolean whole = !IMAGE.getImageTransferredBlocksStatus().contains("0");
    IMAGE.setImageTransferStatus(
        whole ? ImageTransferStatus.IMAGE_VERIFICATION_SUCCESSFUL : ImageTransferStatus.IMAGE_VERIFICATION_FAILED);
    System.out.println("verified " + digest + " " + all.length);
  }

  /** One association. */
  private static class Server extends Base {
    private final String word;

    Server(String word) {
      super(true, AccessMode.READ_WRITE);
      this.word = word;
      setMaxReceivePDUSize(1200);
      getItems().add(new GXDLMSAssociationLogicalName());
      getItems().add(new GXDLMSClock());
      getItems().add(VERSION);
      getItems().add(IMAGE);
      initialize();
    }

    @Override
    public void onPreRead(ValueEventArgs[] args) {
      super.onPreRead(args);
      for (ValueEventArgs arg : args) {
        if (arg.getTarget() == IMAGE && arg.getIndex() == 4) { // gurux keeps the number after the last block that came
          String status = IMAGE.getImageTransferredBlocksStatus() == null ? "" : IMAGE.getImageTransferredBlocksStatus();
          int first = status.indexOf('0');
          int all = status.length();
          IMAGE.setImageFirstNotTransferredBlockNumber(first < 0 ? all : first);
        }
      }
    }

    @Override
    protected void onPreAction(ValueEventArgs[] args) throws Exception {
      for (ValueEventArgs arg : args) {
        if (arg.getTarget() != IMAGE) {
          continue;
        }
        List<?> given = arg.getParameters() instanceof List<?> list ? list : List.of();
        if (arg.getIndex() == 1) {
          name = new String((byte[]) given.get(0));
          LOST.clear();
          IMAGE.setImageActivateInfo(new gurux.dlms.objects.GXDLMSImageActivateInfo[0]);
          Field data = GXDLMSImageTransfer.class.getDeclaredField("imageData");
          data.setAccessible(true);
          ((Map<?, ?>) data.get(IMAGE)).clear();
          System.out.println("initiated " + name + " " + given.get(1));
        } else if (arg.getIndex() == 2) {
          long number = ((Number) given.get(0)).longValue();
          if (every > 0 && number % every == every - 1 && LOST.add(number)) {
            arg.setHandled(true); // it says that it has it
            System.out.println("lost " + number);
          } else {
            System.out.println(word + number);
          }
        } else if (arg.getIndex() == 3) {
          IMAGE.setImageTransferStatus(ImageTransferStatus.IMAGE_VERIFICATION_INITIATED);
          verifiedAt = System.currentTimeMillis() + 500;
          arg.setHandled(true);
        } else if (arg.getIndex() == 4) {
          byte[] all = held();
          VERSION.setValue(name.substring(name.indexOf('-') + 1).getBytes());
          IMAGE.setImageTransferStatus(ImageTransferStatus.IMAGE_ACTIVATION_SUCCESSFUL);
          awayUntil = System.currentTimeMillis() + restartMs;
          arg.setHandled(true);
          System.out.println(
              "activated " + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(all)) + " " + all.length);
        }
      }
    }
  }

  /**
   * The pre-established association in which a group is spoken to. gurux' server refuses whatever is under a broadcast key, so that is
   * taken off here, by the cipher of the JDK; the request in it is gurux' own affair.
   */
  private static final class Ear extends Server {
    private final byte[] broadcast;
    private final byte[] authentication;

    Ear(byte[] broadcast, byte[] authentication) {
      super("group ");
      this.broadcast = broadcast;
      this.authentication = authentication;
      getSettings().setConnected(2);
      getSettings().getNegotiatedConformance().add(Conformance.ACTION);
    }

    /** A wrapper with the request in clear, of one with general-glo-ciphering: title, length, security control, counter, text, tag. */
    byte[] opened(byte[] frame) throws Exception {
      ByteBuffer in = ByteBuffer.wrap(frame, 8, frame.length - 8);
      if ((in.get() & 0xFF) != 0xDB || in.get() != 8) {
        throw new IllegalArgumentException("no general-glo-ciphering");
      }
      byte[] nonce = new byte[12];
      in.get(nonce, 0, 8);
      int length = in.get() & 0xFF;
      for (int more = length > 0x80 ? length & 0x7F : 0; more > 0; more--) {
        in.get();
      }
      byte control = in.get();
      if (control != 0x70) {
        throw new IllegalArgumentException("security control " + control);
      }
      in.get(nonce, 8, 4);
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(Cipher.DECRYPT_MODE, new SecretKeySpec(broadcast, "AES"), new GCMParameterSpec(96, nonce));
      cipher.updateAAD(new byte[] {control});
      cipher.updateAAD(authentication);
      byte[] plain = cipher.doFinal(frame, in.position(), in.remaining());
      return ByteBuffer.allocate(8 + plain.length).put(frame, 0, 6).putShort((short) plain.length).put(plain).array();
    }

    @Override
    protected boolean isTarget(int server, int client) {
      return server == 127 && client == 102;
    }
  }
}
